//! What is broken on purpose fails, and what is tried beyond the pages works.
//!
//! `harness/running/edits.rs` says what a file in `breaks` or `trials` describes.
//! Each is one test here: the changed program is compiled and run under
//! supervision.

mod asked;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use asked::is_asked;
use libtest_mimic::{Arguments, Failed, Trial};
use running::batch::{self, Built};
use running::depends;
use running::edits::{self, COLLECTION, Edit, Kind};
use running::needs;
use running::programs;
use running::supervise::Supervised;
use running::verified::Verified;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

/// Marks what is no failure: this machine refuses what the change is in.
const REFUSED: &str = "refused: ";

/// How many of those that cost most are named at the end.
const SLOWEST: usize = 3;

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // Most of them wait for most of their time.
    arguments
        .test_threads
        .get_or_insert_with(|| 24 * needs::cores());
    let root = running::root();
    let mut edits = edits::all(root)?;
    // Those that wait for a deadline cost time but no work, so they start
    // first, and the others run beside them.
    edits.sort_by_key(|edit| !edit.waits());
    unique(&edits)?;
    let verified = Arc::new(Verified::beside(Path::new(SUPERVISOR))?);
    let mut open = Vec::new();
    for edit in &edits {
        let depends = depends::edit(root, edit)?;
        let asked = is_asked(&arguments, &title(edit));
        if asked && !verified.holds(&title(edit), &depends) {
            open.push(edit.source());
        }
    }
    let built = match arguments.list {
        true => Built::new(),
        false => batch::build(root, SUPERVISOR.as_ref(), COLLECTION, &open)?,
    };
    let built = Arc::new(built);
    let trials = edits.into_iter().map(|edit| {
        let (built, verified) = (Arc::clone(&built), Arc::clone(&verified));
        Trial::test(title(&edit), move || {
            let depends = depends::edit(root, &edit)?;
            let result = verified.once(&title(&edit), &depends, || {
                ends_as_described(&edit, &built)
            });
            // No failure, but nothing to remember either.
            match result.as_ref().err().and_then(Failed::message) {
                Some(what) if what.starts_with(REFUSED) => {
                    eprintln!("{}", &what[REFUSED.len()..]);
                    Ok(())
                }
                _ => result,
            }
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    print_slowest();
    conclusion.exit();
}

/// The processor time of each changed program, how long it has run, and its
/// name.
static COST: Mutex<Vec<(Duration, Duration, String)>> = Mutex::new(Vec::new());

/// A hang that is expected costs its whole deadline, each time.
fn print_slowest() {
    let mut cost = COST.lock().unwrap_or_else(PoisonError::into_inner);
    let total = |time: fn(&(Duration, Duration, String)) -> Duration| {
        cost.iter().map(time).sum::<Duration>().as_secs_f64()
    };
    if !cost.is_empty() {
        println!(
            "ran for {:.0} s in all, of the processor {:.0} s",
            total(|it| it.1),
            total(|it| it.0)
        );
    }
    for by_cpu in [true, false] {
        cost.sort_by_key(|(cpu, took, _)| if by_cpu { *cpu } else { *took });
        for (cpu, took, edit) in cost.iter().rev().take(SLOWEST) {
            let (cpu, took) = (cpu.as_secs_f64(), took.as_secs_f64());
            println!("{took:>5.1} s, of the processor {cpu:>4.1} s: {edit}");
        }
    }
}

fn title(edit: &Edit) -> String {
    edit.to_string()
}

fn ends_as_described(edit: &Edit, built: &Built) -> Result<(), Failed> {
    let repeat = format!("repeat with: cargo test --test breaks -- {edit}");
    let executable = match built.get(&edit.name()) {
        Some(Ok(executable)) => executable,
        Some(Err(messages)) => {
            return Err(format!(
                "{edit}: the changed program does not compile\n\
                 {messages}\n{repeat}"
            )
            .into());
        }
        None => {
            return Err(format!("{edit}: was not compiled\n{repeat}").into());
        }
    };
    let outcome = Supervised::new(SUPERVISOR, executable)
        .deadline(edit.deadline())
        .run()?;
    COST.lock().unwrap_or_else(PoisonError::into_inner).push((
        outcome.cpu,
        outcome.took,
        edit.to_string(),
    ));
    // The change is in what this machine refuses; a trial may want just that.
    let refused = programs::not_shown(&outcome.output);
    if let (Some(line), Kind::Break) = (refused, edit.kind) {
        return Err(format!("{REFUSED}{edit}: {line}").into());
    }
    let faults = edit.faults(&outcome);
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{edit}: {} with this change {}\nit printed:\n{}\n{repeat}",
        edit.source.display(),
        faults.join("\n"),
        outcome.output
    )
    .into())
}

/// Two edits of one name would overwrite each other's executable.
fn unique(edits: &[Edit]) -> Result<()> {
    let mut names = BTreeSet::new();
    for edit in edits {
        anyhow::ensure!(
            names.insert(edit.name()),
            "{edit}: another edit has this name"
        );
    }
    Ok(())
}
