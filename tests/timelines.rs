//! Every timeline shows what its program does.
//!
//! Beside the listings, `timelines/PROGRAM.toml` says which events of a run a
//! figure shows (`harness/timelines/choice.rs`). The program runs under strace;
//! if the order that the figure shows no longer holds, or if the figure would
//! look another way, the test fails. `SNAPSHOTS=overwrite` accepts what the
//! program does now. What a program did stands in Cargo's target folder, in
//! `timelines/`, with the number of the figure's row before each event that it
//! shows.
//!
//! `timelines/breaks/PROGRAM.NAME.toml` changes a program so that its figure
//! must no longer hold, and says what the test says then; with a change in
//! `timelines/trials` it must hold all the same.

mod asked;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use asked::is_asked;
use libtest_mimic::{Arguments, Failed, Trial};
use running::batch::{self, Built, Collection, Source};
use running::depends::{self, Depends};
use running::edits::{self, Replace};
use running::needs;
use running::programs::PACKAGES;
use running::root;
use running::supervise::SUPERVISOR;
use running::verified::Verified;
use serde::Deserialize;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};
use timelines::choice::{self, Choice};
use timelines::draw;
use timelines::lines::Lines;
use timelines::record::{self, Record};
use timelines::strace::{self, How};

const COLLECTION: Collection = Collection {
    name: "traced",
    edition: None,
    lines: true,
};

/// How long a program may run under strace, if its figure does not say it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A run to be held against a figure.
struct Case {
    section: &'static str,
    /// What describes it, from the book's root.
    file: PathBuf,
    /// The figure's choice, from the book's root.
    figure: PathBuf,
    /// The program's source, from the book's root, and its text as it runs.
    source: PathBuf,
    text: String,
    expects: Expects,
}

/// A file that makes no sense, and why.
type Broken = (String, String);

enum Expects {
    /// The figure itself.
    Holds,
    /// It holds although the program was changed.
    HoldsToo,
    /// It does not, and the test says so in these words, among others.
    Fails(Vec<String>),
}

/// A changed program: a file in `breaks` or `trials`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    replace: Vec<Replace>,
    #[serde(default)]
    says: Vec<String>,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // Most programs wait for most of their time.
    arguments
        .test_threads
        .get_or_insert_with(|| 2 * needs::cores());
    let version = strace::version();
    if let Err(missing) = &version
        && !needs::on_ci()
    {
        eprintln!("skipped the recordings: {missing:#}");
    }
    let version = Arc::new(version);
    let verified = Arc::new(Verified::beside(&SUPERVISOR)?);
    let (cases, broken) = cases()?;
    let mut open = Vec::new();
    if let Ok(version) = &*version {
        for case in &cases {
            let asked = is_asked(&arguments, &case.title());
            if asked
                && !arguments.list
                && !verified.holds(&case.title(), &case.depends(version)?)
            {
                open.push(case.program());
            }
        }
    }
    let built = batch::build(root(), &SUPERVISOR, COLLECTION, &open)?;
    let built = Arc::new(built);
    let mut trials = vec![Trial::test("legend", || {
        let problem = |error| Failed::from(format!("{error:#}"));
        legend().map_err(problem)
    })];
    for (title, error) in broken {
        trials.push(Trial::test(title, || Err(Failed::from(error))));
    }
    for case in cases {
        let (built, version) = (Arc::clone(&built), Arc::clone(&version));
        let verified = Arc::clone(&verified);
        trials.push(Trial::test(case.title(), move || {
            let version = match &*version {
                Ok(version) => version,
                Err(missing) if needs::on_ci() => {
                    return Err(format!("{missing:#}").into());
                }
                Err(_) => return Ok(()), // main has said so
            };
            let once = case.depends(version).and_then(|depends| {
                verified.once(&case.title(), &depends, || case.check(&built))
            });
            once.map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The marks of all figures. They show no run.
fn legend() -> Result<()> {
    let file = Path::new("theme/legend.svg");
    let events = fs::read_to_string(root().join("theme/legend.toml"))
        .context("cannot read the legend")?;
    is_drawn(file, draw::draw(&draw::parse(&events)?, "legend")?, true)
}

fn is_drawn(file: &Path, svg: String, may_draw: bool) -> Result<()> {
    let expected = Data::read_from(&root().join(file), Some(DataFormat::Text));
    let mut assert = Assert::new();
    if may_draw {
        assert = assert.action_env("SNAPSHOTS");
    }
    assert
        .try_eq(Some(&file.display()), svg.into(), expected.raw())
        .map_err(|difference| {
            anyhow::anyhow!(
                "{}: the figure looks another way\n{difference}\n\
                 to draw it: SNAPSHOTS=overwrite cargo test --test timelines",
                file.display()
            )
        })
}

/// All figures and the changed programs; and the files that make no sense, with
/// the reason.
fn cases() -> Result<(Vec<Case>, Vec<Broken>)> {
    let (mut cases, mut broken) = (Vec::new(), Vec::new());
    for section in PACKAGES {
        let folder = Path::new("listings").join(section).join("timelines");
        let kinds = [("", false), ("breaks", true), ("trials", true)];
        for (kind, is_edit) in kinds {
            for file in files(&folder.join(kind))? {
                let case = match is_edit {
                    false => figure(section, &file),
                    true => edit(section, &file, kind == "breaks"),
                };
                match case {
                    Ok(case) => cases.push(case),
                    Err(error) => {
                        let file = file.display().to_string();
                        let error = format!("{file}: {error:#}");
                        broken.push((file, error));
                    }
                }
            }
        }
    }
    Ok((cases, broken))
}

/// The TOML files of a folder, from the book's root.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join(folder)).into_iter().flatten() {
        let file = folder.join(entry?.file_name());
        if file.extension().is_some_and(|it| it == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The program of a file, which is named for it.
fn program(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A name for an executable, and for the ids in a figure.
fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().replace('.', "-")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(root().join(file))
        .with_context(|| format!("cannot read {}", file.display()))
}

fn figure(section: &'static str, file: &Path) -> Result<Case> {
    let source = edits::source(root(), section, &program(file))?;
    let choice = choice::parse(&read(file)?)?;
    let text = match choice.change.as_slice() {
        [] => read(&source)?,
        change => edits::changed(root(), &source, change)?,
    };
    Ok(Case {
        section,
        file: file.to_owned(),
        figure: file.to_owned(),
        source,
        text,
        expects: Expects::Holds,
    })
}

fn edit(section: &'static str, file: &Path, breaks: bool) -> Result<Case> {
    let program = program(file);
    let source = edits::source(root(), section, &program)?;
    let Edit { replace, says } = toml::from_str(&read(file)?)?;
    ensure!(breaks != says.is_empty(), "a break says something");
    let text = edits::changed(root(), &source, &replace)?;
    let folder = Path::new("listings").join(section).join("timelines");
    Ok(Case {
        section,
        file: file.to_owned(),
        figure: folder.join(format!("{program}.toml")),
        source,
        text,
        expects: match breaks {
            true => Expects::Fails(says),
            false => Expects::HoldsToo,
        },
    })
}

impl Case {
    fn title(&self) -> String {
        self.file.display().to_string()
    }

    fn program(&self) -> Source {
        Source {
            section: self.section.to_owned(),
            name: format!("{}_traced", name(&self.file).replace('-', "_")),
            text: self.text.clone(),
            is_alone: false,
        }
    }

    fn depends(&self, version: &str) -> Result<Depends> {
        let depends = depends::block(root(), self.section, &self.text)?
            .and("strace --version", version)
            .and_file(root(), &self.figure)?
            .and_file(root(), &self.file)?;
        Ok(
            match fs::read(root().join(self.figure.with_extension("svg"))) {
                Ok(svg) => depends.and("the figure", svg),
                Err(_) => depends.and("no figure", []),
            },
        )
    }

    fn check(&self, built: &Built) -> Result<()> {
        let name = self.program().name;
        let executable = match built.get(&name) {
            Some(Ok(executable)) => executable,
            Some(Err(messages)) => bail!("{name} does not compile\n{messages}"),
            None => bail!("{name} was not compiled"),
        };
        let text = read(&self.figure)?;
        let choice = choice::parse(&text)?;
        let how = How {
            deadline: choice.seconds.map_or(DEADLINE, Duration::from_secs),
            futexes: choice.futexes,
        };
        let traced = strace::trace(executable, &[], how)?;
        ensure!(
            !traced.hung || choice.seconds.is_some(),
            "the program did not end within {:?} under strace",
            how.deadline
        );
        let record = record::of(&traced.lines)?;
        let lines = Lines::of(executable, &format!("{name}.rs"), &record)?;
        match &self.expects {
            Expects::Holds => {
                let held = self.holds(&choice, &record, &lines);
                if held.is_err() && needs::accepts() {
                    let new = choice::rewritten(&text, &choice, &record)?;
                    fs::write(root().join(&self.figure), &new)?;
                    for row in text.lines().filter(|it| !new.contains(it)) {
                        let file = self.figure.display();
                        eprintln!("{file}: no longer there: {}", row.trim());
                    }
                    let choice = choice::parse(&new)?;
                    return self.holds(&choice, &record, &lines);
                }
                held
            }
            Expects::HoldsToo => self.holds(&choice, &record, &lines),
            Expects::Fails(says) => {
                let Err(error) = self.holds(&choice, &record, &lines) else {
                    bail!("the figure {} still holds", self.figure.display());
                };
                let error = format!("{error:#}");
                for text in says {
                    ensure!(
                        error.contains(text),
                        "the test does not say {text:?}:\n{error}"
                    );
                }
                Ok(())
            }
        }
    }

    /// Whether the figure shows what has happened.
    fn holds(
        &self,
        choice: &Choice,
        record: &Record,
        lines: &Lines,
    ) -> Result<()> {
        let found = choice::find(choice, record, |it| lines.find(it));
        let rows = found.as_ref().map_or(&[][..], |it| &it.events);
        self.keep(record, lines, rows)?;
        let found = found.as_ref().map_err(|error| {
            anyhow::anyhow!(
                "{}: the program does something else: {error:#}\n\
                 lines are those of {}{}\n\
                 to accept it: SNAPSHOTS=overwrite cargo test --test timelines",
                self.figure.display(),
                self.source.display(),
                match self.expects {
                    Expects::Holds => "",
                    _ => ", changed",
                },
            )
        })?;
        let figure = choice::timeline(choice, record, found)?;
        is_drawn(
            &self.figure.with_extension("svg"),
            draw::draw(&figure, &name(&self.figure))?,
            matches!(self.expects, Expects::Holds),
        )
    }

    /// Writes down what has happened.
    fn keep(
        &self,
        record: &Record,
        lines: &Lines,
        rows: &[Option<usize>],
    ) -> Result<()> {
        let text = record.text(
            |it| lines.find(it),
            |event| match rows.iter().position(|it| *it == Some(event)) {
                Some(row) => format!("{:>3} ", row + 1),
                None => "    ".to_owned(),
            },
        );
        let profile = SUPERVISOR.parent().context("Cargo's folder")?;
        let folder = profile.with_file_name("timelines");
        fs::create_dir_all(&folder)?;
        let file = format!("{}.{}.txt", self.section, name(&self.file));
        fs::write(folder.join(&file), text)
            .with_context(|| format!("cannot write {file}"))
    }
}
