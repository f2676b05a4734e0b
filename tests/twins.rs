//! Every Python twin prints what the Rust program beside it prints.
//!
//! Without a python3 that will do, these tests pass on a reader's machine, with a word about
//! it, and fail where `CI=true`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use running::depends;
use running::needs::{self, PYTHON};
use running::programs::{self, SECTIONS};
use running::supervise::Supervised;
use running::verified::Verified;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");
const DEADLINE: Duration = Duration::from_secs(30);

/// Python's resource tracker and forkserver end by themselves, shortly after
/// the interpreter.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let verified = Arc::new(Verified::beside(Path::new(SUPERVISOR))?);
    let python = Arc::new(PYTHON.version());
    let trials = SECTIONS.map(|section| {
        let (verified, python) = (Arc::clone(&verified), Arc::clone(&python));
        Trial::test(section, move || match &*python {
            Ok(version) => twin(&verified, section, version),
            Err(problem) if needs::on_ci() => {
                Err(Failed::from(format!("{problem:#}")))
            }
            Err(problem) => {
                eprintln!("skipped {section}: {problem:#}");
                Ok(())
            }
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn twin(
    verified: &Verified,
    section: &str,
    version: &str,
) -> Result<(), Failed> {
    let root = running::root();
    let script = root.join(programs::twin(section));
    let command = format!("python3 {}", programs::twin(section).display());
    let declared = programs::declared(root, section)?;
    let record = match declared.twin.differs {
        Some(_) => programs::output(section, &format!("{section}.py.txt")),
        None => programs::output(section, &format!("{section}.txt")),
    };
    let recorded = fs::read_to_string(root.join(&record)).unwrap_or_default();
    let free = declared.free_order.get(section).cloned();
    let depends = depends::twin(root, section, &record, version)?;
    verified.once(&command, &depends, || {
        let outcome = Supervised::new(SUPERVISOR, "python3")
            .arg(&script)
            .deadline(DEADLINE)
            .grace(GRACE)
            .run()?;
        let mut faults = outcome.faults_unless_exit(0);
        let printed = programs::redacted(&outcome.output);
        let free = free.as_deref();
        // The first line of the record is the Rust program's command.
        let (_, expected) =
            recorded.split_once('\n').unwrap_or((&recorded, ""));
        if programs::in_one_order(&printed, free)?
            != programs::in_one_order(expected, free)?
        {
            faults.extend(difference(
                &record,
                &printed,
                expected,
                declared.twin.differs.is_some().then_some(&command),
            ));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failed::from(format!(
            "{}: {}\nit printed:\n{}\nrepeat with: {command}",
            programs::twin(section).display(),
            faults.join("\n"),
            outcome.output,
        )))
    })
}

/// Describes how a twin's output differs. A twin with a record of its own
/// (`own` is its command) can record it anew.
fn difference(
    record: &Path,
    printed: &str,
    expected: &str,
    own: Option<&String>,
) -> Option<String> {
    let difference = match own {
        Some(command) => {
            let root = running::root();
            let file = root.join(record);
            Assert::new()
                .action_env("SNAPSHOTS")
                .try_eq(
                    Some(&record.display()),
                    format!("{command}\n{printed}").into(),
                    Data::read_from(&file, Some(DataFormat::Text)).raw(),
                )
                .err()?
        }
        None => Assert::new()
            .try_eq(
                Some(&record.display()),
                printed.to_owned().into(),
                Data::text(expected).raw(),
            )
            .err()?,
    };
    Some(format!(
        "prints something else than the record\n{difference}"
    ))
}
