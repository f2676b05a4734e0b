//! Running a program again and again, with one of its processes killed at a
//! random point of each run.
//!
//! `KILLS=200` sets the number of runs, `KILLS_SEED` repeats a series (as far
//! as the kernel's scheduling lets it).

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use regex::Regex;

use crate::depends::Depends;
use crate::needs;
use crate::programs::{self, Program};
use crate::supervise::{Killed, Outcome, Supervised};
use crate::verified::Verified;

/// Few enough to keep `cargo test` short.
const RUNS: usize = 5;

/// Long enough for whatever ends by itself, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a program says has become of its messages or results.
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"accounted for:? (?<arrived>\d+) of (?<all>\d+), ",
        r"lost (?<lost>\d+), doubled (?<doubled>\d+)"
    );
    Regex::new(pattern).expect("the pattern is a constant of this module")
});

/// What is known after all runs.
#[derive(Debug, Default)]
pub struct Summary {
    pub seed: u64,
    /// Runs in which a process was killed.
    pub runs: usize,
    /// Of these, how often it was the program itself.
    pub programs_killed: usize,
    /// How often the program ended with exit code 0 in spite of the death.
    pub succeeded: usize,
    /// How often it ended with an error instead.
    pub failed: usize,
    /// Sums over all lines of the form
    /// `accounted for 9 of 10, lost 1, doubled 0`.
    pub all: u64,
    pub arrived: u64,
    pub lost: u64,
    pub doubled: u64,
    /// Runs past the deadline.
    pub hung: usize,
    /// One line per fault: the run, who was killed and when, what was wrong.
    pub faults: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills (KILLS_SEED={}): {} of the program itself, {} of a \
             descendant, after which it succeeded {} times and reported an \
             error {} times; of {} messages {} arrived, {} were lost, {} \
             doubled; {} hung; {} faults",
            self.runs,
            self.seed,
            self.programs_killed,
            self.runs - self.programs_killed,
            self.succeeded,
            self.failed,
            self.all,
            self.arrived,
            self.lost,
            self.doubled,
            self.hung,
            self.faults.len(),
        )
    }
}

impl Summary {
    /// Prints the summary, then fails if there was any fault. The account is
    /// left to the caller, who knows what the program promises.
    ///
    /// # Errors
    /// All faults, one line each.
    pub fn without_faults(self) -> Result<Summary> {
        println!("{self}");
        ensure!(
            self.faults.is_empty(),
            "{self}:\n{}",
            self.faults.join("\n")
        );
        Ok(self)
    }

    /// As [`Summary::without_faults`], for a program that outlives the death
    /// of any other process: it never reports an error, and what it accounts
    /// for has arrived whole.
    ///
    /// # Errors
    /// All that is otherwise.
    pub fn without_loss(self) -> Result<Summary> {
        let summary = self.without_faults()?;
        let Summary {
            failed,
            all,
            arrived,
            lost,
            doubled,
            ..
        } = summary;
        ensure!(
            failed == 0 && arrived == all && lost == 0 && doubled == 0,
            "{summary}"
        );
        ensure!(all > 0 || summary.succeeded == 0, "no account: {summary}");
        Ok(summary)
    }
}

/// A listing's program, built; `supervisor` is
/// `env!("CARGO_BIN_EXE_supervise")`.
///
/// # Errors
/// If it does not compile or does not exist.
pub fn program(
    supervisor: &str,
    section: &str,
    name: &str,
) -> Result<Supervised> {
    static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
        programs::build(crate::root())
            .unwrap_or_else(|error| panic!("{error:#}"))
    });
    let program = PROGRAMS
        .iter()
        .find(|program| program.section == section && program.name == name);
    let program =
        program.with_context(|| format!("{section} has no program {name}"))?;
    Ok(Supervised::new(supervisor, &program.executable)
        .deadline(DEADLINE)
        .grace(DEADLINE))
}

/// Gives the program to `hunt`, unless it has survived the same hunt since it
/// last changed. Where `CI=true`, and where `KILLS` asks for a number, chance
/// is given a new try each time.
///
/// # Errors
/// Those of [`program`] and of `hunt`.
pub fn once(
    supervisor: &str,
    section: &str,
    name: &str,
    hunt: impl FnOnce(Supervised) -> Result<()>,
) -> Result<()> {
    let program = program(supervisor, section, name)?;
    if needs::on_ci() || number("KILLS")?.is_some() {
        return hunt(program);
    }
    let depends =
        Depends::default().and_file(crate::root(), program.program())?;
    let verified = Verified::beside(Path::new(supervisor))?;
    // One program may be hunted by several tests, each in a thread of its name.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let title = format!("kills {name} {test}");
    verified.once(&title, &depends, || hunt(program))
}

/// Runs the program until the kill has hit it as often as asked for, and
/// checks after each run that it ended in time, left nothing, and either
/// succeeded or said `Error: …`. `judge` may find further faults.
///
/// # Errors
/// If the program fails without any kill, or cannot be run.
pub fn run(
    program: &Supervised,
    judge: impl Fn(&Outcome, &Killed) -> Option<String>,
) -> Result<Summary> {
    let runs = number("KILLS")?.map_or(RUNS, |runs| runs as usize);
    let seed = number("KILLS_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut summary = Summary {
        seed,
        ..Summary::default()
    };
    let whole = undisturbed(program)?;
    while summary.runs < runs {
        let after = whole.mul_f64(random.f64());
        let run = program.clone().kill_one(after, random.u64(..));
        let outcome = run.run()?;
        let Some(killed) = outcome.killed.clone() else {
            continue;
        };
        summary.runs += 1;
        summary.add(&outcome, &killed);
        let mut faults = faults(&outcome, &killed);
        faults.extend(judge(&outcome, &killed));
        if !faults.is_empty() {
            summary.faults.push(format!(
                "run {}: {} killed after {after:?}: {}\n{}",
                summary.runs,
                killed.command,
                faults.join("; "),
                outcome.output
            ));
        }
    }
    Ok(summary)
}

fn number(name: &str) -> Result<Option<u64>> {
    let Ok(value) = env::var(name) else {
        return Ok(None);
    };
    let number = value.parse();
    Ok(Some(number.with_context(|| {
        format!("{name}={value}: not a number")
    })?))
}

/// How long the program runs when nobody is killed.
fn undisturbed(program: &Supervised) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let outcome = program.clone().run()?;
        longest = longest.max(outcome.took);
        let faults = outcome.faults_unless_exit(0);
        ensure!(
            faults.is_empty(),
            "without a kill: {}\n{}",
            faults.join("; "),
            outcome.output
        );
    }
    Ok(longest)
}

fn faults(outcome: &Outcome, killed: &Killed) -> Vec<String> {
    let mut faults = outcome.faults.clone();
    if outcome.output.contains("panicked at") {
        faults.push("a panic".to_owned());
    }
    match outcome.code {
        _ if killed.program => {}
        Some(0) => {}
        Some(1) if outcome.output.contains("Error: ") => {}
        _ => faults.push(format!("ended with {}", outcome.ending())),
    }
    faults
}

impl Summary {
    fn add(&mut self, outcome: &Outcome, killed: &Killed) {
        self.hung += usize::from(
            outcome
                .faults
                .iter()
                .any(|it| it.starts_with("did not end")),
        );
        if killed.program {
            self.programs_killed += 1;
            return;
        }
        match outcome.code {
            Some(0) => self.succeeded += 1,
            _ => self.failed += 1,
        }
        for account in ACCOUNT.captures_iter(&outcome.output) {
            let number =
                |name: &str| account[name].parse::<u64>().unwrap_or(u64::MAX);
            self.all += number("all");
            self.arrived += number("arrived");
            self.lost += number("lost");
            self.doubled += number("doubled");
        }
    }
}
