//! Every program does right under conditions in which real programs are
//! started: it does what is on record, or it names what is wrong and ends
//! with exit code 1.
//!
//! `harness/running/hostile.rs` lists the conditions. The programs that readers copy
//! run under all of them; of the others, a share that is drawn by lot.
//!
//! Where `CI=true` chance draws the lot, elsewhere the programs' texts do.
//!
//! `HOSTILE=all cargo test --test hostile` runs the whole matrix,
//! `HOSTILE_SEED=7` draws the same share again, and a name after `--` runs
//! all that it fits: `cargo test --test hostile -- killing_process`.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use running::depends;
use running::hostile::{Condition, NOT_STARTED};
use running::needs;
use running::programs::{self, Declared, Kind, Program};
use running::supervise::{Outcome, Supervised};
use running::verified::Verified;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");
const UNDER: &str = env!("CARGO_BIN_EXE_under");

const DEADLINE: Duration = Duration::from_secs(20);

/// What a program that nobody copies may take to end all of its processes
/// after its own end.
const GRACE: Duration = Duration::from_secs(2);

/// Programs that nobody copies, times conditions, drawn by lot.
const SHARE: usize = 100;

/// How long a stuttering program runs, and how long it stands.
const STUTTER: Duration = Duration::from_millis(2);

const PRINTLN_FAILED: &str = "failed printing to std";

/// What `println!` says when it fails, and `env::args`.
const EXCEPTED_PANICS: [(Condition, &str); 2] = [
    (Condition::StdoutFull, PRINTLN_FAILED),
    (
        Condition::FolderNotUtf8,
        "called `Result::unwrap()` on an `Err` value: \"",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    AsRecorded,
    ClearError,
    Excepted,
    Remembered,
    Skipped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::AsRecorded => "as recorded",
            Verdict::ClearError => "clear error",
            Verdict::Excepted => "excepted",
            Verdict::Remembered => "remembered",
            Verdict::Skipped => "skipped",
        })
    }
}

/// How often each verdict was given under each condition.
static TABLE: Mutex<BTreeMap<(Condition, Verdict), usize>> =
    Mutex::new(BTreeMap::new());

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // Most of them wait for most of their time.
    arguments
        .test_threads
        .get_or_insert_with(|| 4 * needs::cores());
    if cfg!(not(target_os = "linux")) {
        println!("the conditions are brought about on Linux only");
        return Ok(());
    }
    let root = running::root();
    let verified = Arc::new(Verified::beside(Path::new(SUPERVISOR))?);
    let declared = programs::all_declared(root)?;
    let programs = programs::build(root)?;
    let mut trials = vec![Trial::test("exceptions_name_what_there_is", {
        let wrong = unknown_exceptions(&programs, &declared);
        move || match wrong.as_slice() {
            [] => Ok(()),
            wrong => Err(Failed::from(wrong.join("\n"))),
        }
    })];
    let declared = Arc::new(declared);
    for (program, condition) in chosen(&arguments, &programs)? {
        let name =
            format!("{}::{}::{condition}", program.section, program.name);
        let (verified, declared) =
            (Arc::clone(&verified), Arc::clone(&declared));
        trials.push(Trial::test(name, move || {
            let declared = &declared[program.section.as_str()];
            check(&verified, &program, condition, declared)
        }));
    }
    let start = Instant::now();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        print_table(start.elapsed());
    }
    conclusion.exit();
}

/// All that is asked for, or the copied programs and a share of the others.
fn chosen(
    arguments: &Arguments,
    programs: &[Program],
) -> Result<Vec<(Program, Condition)>> {
    let listings = programs.iter().filter(|it| it.kind == Kind::Listing);
    let every: Vec<_> = listings
        .flat_map(|program| {
            Condition::all().map(move |condition| (program.clone(), condition))
        })
        .collect();
    let all = env::var_os("HOSTILE").is_some_and(|share| share == "all");
    if all || arguments.filter.is_some() {
        return Ok(every);
    }
    let (mut chosen, mut others): (Vec<_>, Vec<_>) = every
        .into_iter()
        .partition(|(program, _)| program.is_copied());
    let seed = match env::var("HOSTILE_SEED") {
        Ok(seed) => seed.parse().context("HOSTILE_SEED is a number")?,
        Err(_) if needs::on_ci() => fastrand::u64(..),
        // The same lot as long as nothing changes: then all is remembered.
        Err(_) => fingerprint(programs)?,
    };
    fastrand::Rng::with_seed(seed).shuffle(&mut others);
    others.truncate(SHARE);
    println!(
        "{} of copied programs, {} of others drawn by lot; the same again: \
         HOSTILE_SEED={seed} cargo test --test hostile",
        chosen.len(),
        others.len()
    );
    chosen.append(&mut others);
    Ok(chosen)
}

fn fingerprint(programs: &[Program]) -> Result<u64> {
    let root = running::root();
    let mut hash = DefaultHasher::new();
    for program in programs {
        fs::read(root.join(&program.source))?.hash(&mut hash);
    }
    Ok(hash.finish())
}

fn unknown_exceptions(
    programs: &[Program],
    declared: &BTreeMap<&str, Declared>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (section, declared) in declared {
        let place = format!("listings/{section}/Cargo.toml");
        for (name, conditions) in &declared.hostile {
            let known = programs.iter().any(|program| {
                program.section == *section
                    && program.name == *name
                    && program.kind == Kind::Listing
            });
            if !known {
                wrong.push(format!("{place}: there is no program {name}"));
            }
            for (condition, reason) in conditions {
                if Condition::named(condition).is_none() {
                    wrong.push(format!("{place}: no condition {condition}"));
                }
                if reason.trim().is_empty() {
                    wrong.push(format!("{place}: {name}: give a reason"));
                }
            }
        }
    }
    wrong
}

fn check(
    verified: &Verified,
    program: &Program,
    condition: Condition,
    declared: &Declared,
) -> Result<(), Failed> {
    let root = running::root();
    let source = fs::read_to_string(root.join(&program.source))?;
    if needs::is_left_out(&program.name, &source) {
        return Ok(());
    }
    let reason = declared
        .hostile
        .get(&program.name)
        .and_then(|conditions| conditions.get(condition.name()));
    let free = declared.free_order.get(&program.name).map(String::as_str);
    let depends =
        depends::listing(root, program)?.and_file(root, Path::new(UNDER))?;
    let name = format!("{condition} {}", program.command());
    if verified.holds(&name, &depends) {
        count(condition, Verdict::Remembered);
        return Ok(());
    }
    let mut verdict = None;
    let result = verified.once(&name, &depends, || {
        let found = judge(program, condition, free)?;
        verdict = Some(match (found, reason) {
            (Ok(verdict), None) => verdict,
            (Ok(Verdict::Skipped), Some(_)) => Verdict::Skipped,
            (Err(_), Some(_)) => Verdict::Excepted,
            // Chance decides, and the reason says so.
            (Ok(right), Some(reason)) if reason.starts_with("sometimes") => {
                right
            }
            (Ok(right), Some(reason)) => anyhow::bail!(
                "listings/{}/Cargo.toml excepts it ({reason}), but it does \
                 right: {right}",
                program.section
            ),
            (Err(faults), None) => anyhow::bail!("{faults}"),
        });
        // A machine that refuses today may allow it tomorrow.
        match verdict {
            Some(Verdict::Skipped) => anyhow::bail!("skipped"),
            _ => Ok(()),
        }
    });
    match (result, verdict) {
        (Ok(()), Some(verdict))
        | (Err(_), Some(verdict @ Verdict::Skipped)) => {
            count(condition, verdict);
            Ok(())
        }
        (Ok(()), None) => Ok(()),
        (Err(error), _) => Err(Failed::from(format!(
            "{} under {condition}: {error:#}\nrepeat with: \
             cargo test --test hostile -- {}::{}::{condition}",
            program.source.display(),
            program.section,
            program.name
        ))),
    }
}

fn count(condition: Condition, verdict: Verdict) {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    *table.entry((condition, verdict)).or_default() += 1;
}

/// Runs the program under the condition. The inner error is what it did
/// wrong.
fn judge(
    program: &Program,
    condition: Condition,
    free: Option<&str>,
) -> Result<Result<Verdict, String>> {
    let place = tempfile::Builder::new().prefix("hostile-").tempdir()?;
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    let witness = tempfile::NamedTempFile::new()?;
    let grace = match program.is_copied() {
        true => Duration::ZERO,
        false => GRACE,
    };
    let mut run = Supervised::new(SUPERVISOR, UNDER)
        .arg(condition.name())
        .arg(witness.path())
        .arg(place.path())
        .arg(user(condition)?.to_string())
        .arg(&program.executable);
    if condition == Condition::Stuttering {
        run = run.stutter(STUTTER);
    }
    let outcome = run.deadline(DEADLINE).grace(grace).run()?;
    let seen = fs::read_to_string(witness.path())?;
    if let Some(why) = seen.strip_prefix("refused: ") {
        eprintln!("skipped {condition} of {}: {}", program.name, why.trim());
        return Ok(Ok(Verdict::Skipped));
    }
    let is_stopped = condition != Condition::Stuttering || outcome.stops > 0;
    ensure!(
        seen == "took effect\n"
            && is_stopped
            && outcome.code != Some(NOT_STARTED.into()),
        "the condition did not take effect: {seen}{}",
        outcome.output
    );
    let mut outcome = outcome;
    outcome
        .faults
        .extend(left_in(&place.path().join("temporary"))?);
    let verdict = right(program, condition, free, &outcome)?;
    Ok(verdict
        .map_err(|faults| format!("{faults}\nit printed:\n{}", outcome.output)))
}

/// What a program left in its folder for temporary files. The folders that
/// the condition made are no fault.
fn left_in(folder: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("xxxx") || name.starts_with("not ")
    };
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            match path.is_dir() && is_ours(&path) {
                true => folders.push(path),
                false => left.push(format!("left a file: {}", path.display())),
            }
        }
    }
    Ok(left)
}

fn right(
    program: &Program,
    condition: Condition,
    free: Option<&str>,
    outcome: &Outcome,
) -> Result<Result<Verdict, String>> {
    if !outcome.faults.is_empty() {
        return Ok(Err(outcome.faults.join("\n")));
    }
    let root = running::root();
    let record = fs::read_to_string(root.join(program.output()))?;
    let record = record.split_once('\n').map_or("", |(_, output)| output);
    let output = programs::redacted(&outcome.output);
    let ending = outcome.ending();
    if outcome.code == Some(0) {
        if programs::not_shown(&output).is_some() {
            return Ok(Ok(Verdict::Skipped));
        }
        let same = match condition {
            // Only some of it can be seen.
            Condition::StdoutClosed
            | Condition::StderrClosed
            | Condition::AllClosed => {
                let known: Vec<&str> = record.lines().collect();
                output.lines().all(|line| known.contains(&line))
            }
            _ => {
                programs::in_one_order(&output, free)?
                    == programs::in_one_order(record, free)?
            }
        };
        return Ok(match same {
            true => Ok(Verdict::AsRecorded),
            false => Err("succeeds, and prints something else".to_owned()),
        });
    }
    if !program.is_copied()
        && let Some((_, panic)) =
            EXCEPTED_PANICS.iter().find(|it| it.0 == condition)
        && output.contains(panic)
    {
        return Ok(Ok(Verdict::Excepted));
    }
    let panics = |text: &str| text.matches("panicked at").count();
    // `println!` in a child of a program that has failed already.
    let excepted = match program.is_copied() {
        true => 0,
        false => output.matches(PRINTLN_FAILED).count(),
    };
    if panics(&output) > panics(record) + excepted {
        return Ok(Err(format!("panics, {ending}")));
    }
    let Some(cause) = condition.cause() else {
        return Ok(Err(format!("is no reason to fail: {ending}")));
    };
    // A file over the limit: the signal is the kernel's word for it.
    if condition == Condition::NoFileSize
        && outcome.signal.as_deref() == Some("SIGXFSZ")
    {
        return Ok(Ok(Verdict::ClearError));
    }
    if outcome.code != Some(1) {
        return Ok(Err(format!("{ending}, not exit code 1")));
    }
    let error = output.find("Error: ").map(|at| &output[at..]);
    Ok(match error {
        Some(error) if Regex::new(cause)?.is_match(error) => {
            Ok(Verdict::ClearError)
        }
        Some(_) => Err(format!("its error is not of the cause: {cause}")),
        None => Err("ends with 1 and says no error".to_owned()),
    })
}

/// A user whom nobody else is, if the condition needs one.
fn user(condition: Condition) -> Result<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 1_000_000 + std::process::id() % 100_000 * 10_000;
    if condition == Condition::SmallPipes {
        Holder::of(first)?;
        return Ok(first);
    }
    if !condition.is_as_other_user() {
        return Ok(0);
    }
    Ok(first + 1 + NEXT.fetch_add(1, Ordering::SeqCst) % 9_999)
}

/// Holds many pipes as long as this process lives.
struct Holder(#[allow(dead_code)] Child);

impl Holder {
    fn of(uid: u32) -> Result<()> {
        static HOLDER: LazyLock<Mutex<Option<Holder>>> =
            LazyLock::new(Mutex::default);
        let mut holder = HOLDER.lock().unwrap_or_else(PoisonError::into_inner);
        if holder.is_some() {
            return Ok(());
        }
        let mut child = Command::new(UNDER)
            .args(["hold", &uid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the holder of pipes")?;
        let output = child.stdout.take().context("it has an output")?;
        // Where it may not become another user it says nothing, and the
        // condition itself is refused for the same reason.
        BufReader::new(output).read_line(&mut String::new())?;
        *holder = Some(Holder(child));
        Ok(())
    }
}

fn print_table(took: Duration) {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let verdicts = [
        Verdict::AsRecorded,
        Verdict::ClearError,
        Verdict::Excepted,
        Verdict::Remembered,
        Verdict::Skipped,
    ];
    let print = |name: &str, counts: [String; 5]| {
        let cells = counts.map(|cell| format!("{cell:>12}"));
        println!("{name:<20}{}", cells.concat());
    };
    print("condition", verdicts.map(|it| it.to_string()));
    for condition in Condition::all() {
        let counts = verdicts.map(|verdict| {
            table.get(&(condition, verdict)).copied().unwrap_or(0)
        });
        // The share is too small for numbers by condition.
        let all = env::var_os("HOSTILE").is_some_and(|share| share == "all");
        if all && counts != [0; 5] {
            print(condition.name(), counts.map(|it| it.to_string()));
        }
    }
    let sum = |verdict| -> usize {
        let of = table.iter().filter(|((_, it), _)| *it == verdict);
        of.map(|(_, count)| count).sum()
    };
    print("all", verdicts.map(|it| sum(it).to_string()));
    println!("in {:.0} s", took.as_secs_f64());
}
