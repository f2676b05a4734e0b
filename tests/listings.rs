//! Every program prints what the book shows, takes no wrong role, and leaves
//! nothing behind.
//!
//! `SNAPSHOTS=overwrite cargo test --test listings` records the outputs anew.
//! `REPEAT=100 cargo test --test listings` runs every program a hundred times.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use running::depends;
use running::needs;
use running::programs::{self, Kind, Program};
use running::supervise::{Outcome, Supervised};
use running::verified::Verified;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a program may run until a process is seen to outlive it.
const RUNS_TO_OUTLIVE: usize = 5;

/// How many proofs this machine has refused.
static NOT_SHOWN: AtomicUsize = AtomicUsize::new(0);

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // Most of them wait for most of their time.
    arguments
        .test_threads
        .get_or_insert_with(|| 8 * needs::cores());
    let root = running::root();
    let verified = Arc::new(Verified::beside(Path::new(SUPERVISOR))?);
    let programs = programs::build(root)?;
    let mut trials = vec![Trial::test("names_are_unique", {
        let programs = programs.clone();
        move || names_are_unique(&programs)
    })];
    for program in programs {
        let (here, notes) = (program.clone(), Arc::clone(&verified));
        let name = format!("{}::{}", program.section, program.name);
        trials.push(Trial::test(name.clone(), move || {
            check(&notes, &here, "runs", runs)
        }));
        if program.kind == Kind::Listing {
            let notes = Arc::clone(&verified);
            trials.push(Trial::test(format!("{name}::roles"), move || {
                check(&notes, &program, "roles", roles)
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    match NOT_SHOWN.load(Ordering::SeqCst) {
        0 => {}
        count => println!("refused by this machine: {count} proofs"),
    }
    conclusion.exit();
}

/// Runs `promise` unless it holds already for this very executable.
fn check(
    verified: &Verified,
    program: &Program,
    name: &str,
    promise: fn(&Program) -> Result<Vec<String>>,
) -> Result<(), Failed> {
    let root = running::root();
    let source = fs::read_to_string(root.join(&program.source))?;
    if needs::is_left_out(&program.name, &source) {
        return Ok(());
    }
    let depends = depends::listing(root, program)?;
    let name = format!("{name} {}", program.command());
    let mut refused = None;
    let mut verify = || {
        let faults = promise(program)?;
        if faults.is_empty() {
            return Ok(());
        }
        if let [line] = faults.as_slice() {
            refused = programs::not_shown(line).map(str::to_owned);
        }
        Err(Failed::from(format!(
            "{}: {}\nrepeat with: {}",
            program.source.display(),
            faults.join("\n"),
            program.command(),
        )))
    };
    let result = match repeat()? {
        Some(times) => (0..times).try_for_each(|_| verify()),
        None => verified.once(&name, &depends, &mut verify),
    };
    match refused {
        // No failure, but nothing to remember either.
        Some(line) => {
            eprintln!("{}: {line}", program.name);
            NOT_SHOWN.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        None => result,
    }
}

/// How often each program runs: what depends on the order in which processes
/// are scheduled shows itself in some runs only.
fn repeat() -> Result<Option<usize>> {
    let Some(times) = env::var_os("REPEAT") else {
        return Ok(None);
    };
    let times = times.to_string_lossy().parse();
    Ok(Some(times.context("REPEAT is a number of runs")?))
}

fn supervised(program: &Program) -> Supervised {
    Supervised::new(SUPERVISOR, &program.executable).deadline(DEADLINE)
}

/// Runs a program to its end, and to the end of what may outlive it.
fn run(program: &Program) -> Result<Outcome> {
    let declared = programs::declared(running::root(), &program.section)?;
    let grace = declared.grace(&program.name);
    let mut outcome = supervised(program).grace(grace).run()?;
    if grace.is_zero() {
        return Ok(outcome);
    }
    // What ends soon after the program may be quicker than the look at it.
    for _ in 1..RUNS_TO_OUTLIVE {
        if outcome.outlived {
            return Ok(outcome);
        }
        outcome = supervised(program).grace(grace).run()?;
    }
    if !outcome.outlived {
        let what = "is declared as outlived, and no process outlived it";
        outcome.faults.push(what.to_owned());
    }
    Ok(outcome)
}

fn runs(program: &Program) -> Result<Vec<String>> {
    let outcome = run(program)?;
    match program.kind {
        Kind::Listing => {
            let mut faults = outcome.faults_unless_exit(0);
            match programs::not_shown(&outcome.output) {
                Some(line) => faults.push(line.to_owned()),
                None => faults.extend(compare(program, &outcome)?),
            }
            Ok(faults)
        }
        Kind::Solution => {
            Ok(with_output(outcome.faults_unless_exit(0), &outcome))
        }
        Kind::Starter => {
            let mut faults = outcome.faults_unless_exit(1);
            if !outcome.output.contains("not solved yet") {
                faults.push("does not say \"not solved yet\"".to_owned());
            }
            Ok(with_output(faults, &outcome))
        }
    }
}

fn with_output(mut faults: Vec<String>, outcome: &Outcome) -> Vec<String> {
    if !faults.is_empty() {
        faults.push(format!("it printed:\n{}", outcome.output));
    }
    faults
}

/// Holds an output against the record, or records it anew.
fn compare(program: &Program, outcome: &Outcome) -> Result<Option<String>> {
    let root = running::root();
    let declared = programs::declared(root, &program.section)?;
    let free = declared.free_order.get(&program.name).map(String::as_str);
    let actual = format!(
        "{}\n{}",
        program.command(),
        programs::redacted(&outcome.output)
    );
    let file = program.output();
    let record = root.join(&file);
    if let Ok(expected) = fs::read_to_string(&record) {
        let expected = programs::in_one_order(&expected, free)?;
        if programs::in_one_order(&actual, free)? == expected {
            return Ok(None);
        }
    }
    let expected = Data::read_from(&record, Some(DataFormat::Text)).raw();
    let assert = Assert::new().action_env("SNAPSHOTS");
    let difference = assert
        .try_eq(Some(&file.display()), actual.into(), expected)
        .err();
    Ok(difference.map(|difference| {
        format!(
            "printed something else than the book shows\n{difference}\n\
             to record it: SNAPSHOTS=overwrite cargo test --test listings"
        )
    }))
}

/// An unknown role is a clear error, and every role that the error names ends
/// by itself when it is started by hand with standard input closed.
fn roles(program: &Program) -> Result<Vec<String>> {
    let unknown = supervised(program).arg("no-such-role").run()?;
    let mut faults = unknown.faults_unless_exit(1);
    if !unknown.output.contains("\"no-such-role\"") {
        faults.push("its error does not quote the argument".to_owned());
    }
    let mut faults = with_output(faults, &unknown);
    for role in expected_roles(&unknown.output)? {
        let outcome = supervised(program).arg(&role).run()?;
        let mut wrong = outcome.faults.clone();
        // Some roles end with an exit code of their choice.
        if outcome.code.is_none() {
            wrong.push(format!("ended with {}", outcome.ending()));
        }
        if outcome.output.contains("panicked at") {
            wrong.push("panicked".to_owned());
        }
        let wrong = with_output(wrong, &outcome);
        faults.extend(wrong.iter().map(|it| format!("role {role:?}: {it}")));
    }
    Ok(faults)
}

/// The roles named in `unknown role "x": expected "a", "b" or "c"`.
fn expected_roles(error: &str) -> Result<Vec<String>> {
    let list = error
        .lines()
        .find_map(|line| line.split_once(": expected ").map(|(_, list)| list));
    let quoted = Regex::new("\"([^\"]+)\"").context("a constant pattern")?;
    let roles = quoted.captures_iter(list.unwrap_or_default());
    Ok(roles.map(|role| role[1].to_owned()).collect())
}

/// Cargo puts all executables in one folder, so two of one name would
/// overwrite each other.
fn names_are_unique(programs: &[Program]) -> Result<(), Failed> {
    for (index, program) in programs.iter().enumerate() {
        let twin = programs[..index].iter().find(|p| p.name == program.name);
        if let Some(twin) = twin {
            return Err(Failed::from(format!(
                "{} and {} have the same name: rename one",
                twin.source.display(),
                program.source.display()
            )));
        }
    }
    Ok(())
}
