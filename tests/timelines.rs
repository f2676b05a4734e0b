//! Every section's timeline is what its file of events gives.
//!
//! `SNAPSHOTS=overwrite cargo test --test timelines` draws them anew.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use running::programs::SECTIONS;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};
use timelines::draw;

fn main() {
    let arguments = Arguments::from_args();
    let sections = SECTIONS.iter().map(|section| {
        (
            *section,
            Path::new("listings").join(section).join("timeline"),
        )
    });
    let legend = ("legend", PathBuf::from("theme/legend"));
    let trials = sections.chain([legend]).map(|(name, file)| {
        Trial::test(name, move || {
            drawn(name, &file).map_err(|error| {
                let file = file.with_extension("toml");
                Failed::from(format!("{}: {error:#}", file.display()))
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn drawn(name: &str, file: &Path) -> Result<()> {
    let root = running::root();
    let events = fs::read_to_string(root.join(file).with_extension("toml"))
        .context("cannot read the events")?;
    let svg = draw::draw(&draw::parse(&events)?, name)?;
    let file = file.with_extension("svg");
    let expected = Data::read_from(&root.join(&file), Some(DataFormat::Text));
    Assert::new()
        .action_env("SNAPSHOTS")
        .try_eq(Some(&file.display()), svg.into(), expected.raw())
        .map_err(|difference| {
            anyhow::anyhow!(
                "the figure is not what the events give\n{difference}\n\
                 to draw it: SNAPSHOTS=overwrite cargo test --test timelines"
            )
        })
}
