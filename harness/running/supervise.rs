//! Running a program with a deadline, alone in a clean folder, and finding
//! out whether it left anything behind.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::programs;

/// Most that is read of a program's output, in bytes. After that the pipe is
/// closed, so a program that prints without end is stopped by SIGPIPE.
const MOST_OUTPUT: u64 = 1 << 20;

/// How often shared memory has to be left before the program is blamed.
const RUNS_TO_BLAME: usize = 3;

const LEFT_SHARED: &str = "left shared memory";

/// Where POSIX shared memory and named semaphores live on Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// This package's binary `supervise`, compiled when it is first asked for. A
/// test of this package has it as `env!("CARGO_BIN_EXE_supervise")`.
pub static SUPERVISOR: LazyLock<PathBuf> =
    LazyLock::new(|| supervisor().unwrap_or_else(|error| panic!("{error:#}")));

fn supervisor() -> Result<PathBuf> {
    // Cargo compiles it for the tests of this package. By its own name it
    // could be another one, of crates with other features.
    let arguments = ["test", "--no-run", "--test", "faults"];
    let compiled =
        programs::compiled(crate::root(), &arguments.map(str::to_owned))?;
    let (_, path) = compiled
        .into_iter()
        .find(|(target, _)| target.name == "supervise")
        .context("cargo has built no supervise")?;
    Ok(path)
}

/// What the supervising process found, as it reports it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub code: Option<i32>,
    pub signal: Option<String>,
    /// Whether the program had to be killed at its deadline.
    pub overdue: bool,
    /// One line per process that had to be killed after the program's end, or
    /// was a zombie then.
    pub left: Vec<String>,
    /// Whether a process was still running when the program had ended.
    pub outlived: bool,
    /// From the program's start to its end.
    pub took: Duration,
    /// The processor time of the program and its descendants.
    pub cpu: Duration,
    /// Who was killed on request.
    pub killed: Option<Killed>,
    /// How often one of its processes was seen stopped on request.
    pub stops: u64,
}

/// What is done to a program's processes while it runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Disturbance {
    /// One is killed `after` so long; `choice` says which.
    Kill { after: Duration, choice: u64 },
    /// All are stopped and continued, again and again.
    Stutter { every: Duration },
}

/// The process that [`Supervised::kill_one`] hit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Killed {
    /// Whether it was the program itself, not one of its descendants.
    pub program: bool,
    pub command: String,
}

/// A program to run, and the limits it has to keep.
#[derive(Clone)]
pub struct Supervised {
    supervisor: PathBuf,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    deadline: Duration,
    grace: Duration,
    disturbance: Option<Disturbance>,
}

/// How a program ran.
pub struct Outcome {
    /// Standard output and standard error as a terminal would show them.
    pub output: String,
    pub code: Option<i32>,
    /// For example `SIGKILL`.
    pub signal: Option<String>,
    /// From the program's start to its end.
    pub took: Duration,
    /// The processor time of the program and its descendants.
    pub cpu: Duration,
    /// Who was killed on request; nobody if the program ended before.
    pub killed: Option<Killed>,
    /// How often one of its processes was seen stopped on request.
    pub stops: u64,
    /// Whether a process was still running when the program had ended.
    pub outlived: bool,
    /// Everything the program must not do: miss its deadline, leave a
    /// process, a zombie, a file or shared memory behind. One line each.
    pub faults: Vec<String>,
}

impl Outcome {
    /// `exit code 0`, `signal SIGKILL`.
    pub fn ending(&self) -> String {
        match (&self.code, &self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit status".to_owned(),
        }
    }

    /// The faults, and a wrong exit code as one more.
    pub fn faults_unless_exit(&self, code: i32) -> Vec<String> {
        let mut faults = self.faults.clone();
        if self.code != Some(code) {
            let ending = self.ending();
            faults.push(format!("ended with {ending}, not exit code {code}"));
        }
        faults
    }
}

impl Supervised {
    /// `supervisor` is the path of this package's binary `supervise`; in a
    /// test it is `env!("CARGO_BIN_EXE_supervise")`.
    pub fn new(
        supervisor: impl Into<PathBuf>,
        program: impl Into<OsString>,
    ) -> Supervised {
        Supervised {
            supervisor: supervisor.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            deadline: Duration::from_secs(60),
            grace: Duration::ZERO,
            disturbance: None,
        }
    }

    /// What is run.
    pub fn program(&self) -> &Path {
        Path::new(&self.program)
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Supervised {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(
        mut self,
        args: impl IntoIterator<Item = A>,
    ) -> Supervised {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Supervised {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs in `folder` instead of an empty temporary one.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Supervised {
        self.folder = Some(folder.into());
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Supervised {
        self.deadline = deadline;
        self
    }

    /// Lets descendants end by themselves within `grace` of the program.
    pub fn grace(mut self, grace: Duration) -> Supervised {
        self.grace = grace;
        self
    }

    /// Sends SIGKILL to one of the program's processes once the program has
    /// run for `after`: in one case of four to the program itself, else to
    /// the descendant that `choice` falls on. If it is the program that dies,
    /// its descendants have the grace to end by themselves; otherwise none.
    pub fn kill_one(mut self, after: Duration, choice: u64) -> Supervised {
        self.disturbance = Some(Disturbance::Kill { after, choice });
        self
    }

    /// Sends SIGSTOP and then SIGCONT to all of the program's processes, again
    /// and again.
    pub fn stutter(mut self, every: Duration) -> Supervised {
        self.disturbance = Some(Disturbance::Stutter { every });
        self
    }

    /// Runs the program to its end or its deadline.
    ///
    /// # Errors
    /// If the supervisor cannot be started or reports nothing. What the
    /// program itself does wrong is no error but in [`Outcome::faults`].
    pub fn run(self) -> Result<Outcome> {
        // Shared memory does not say who made it. What another program on
        // this machine left by chance is not there again in every run.
        for _ in 1..RUNS_TO_BLAME {
            let outcome = self.run_once()?;
            if !outcome.faults.iter().any(|it| it.starts_with(LEFT_SHARED)) {
                return Ok(outcome);
            }
        }
        self.run_once()
    }

    fn run_once(&self) -> Result<Outcome> {
        let scratch = Scratch::new()?;
        let shared_before = shared_memory();
        let (reader, writer) = io::pipe().context("cannot open a pipe")?;
        let mut command = Command::new(&self.supervisor);
        command
            .arg(&scratch.report)
            .arg(self.deadline.as_millis().to_string())
            .arg(self.grace.as_millis().to_string())
            .arg(serde_json::to_string(&self.disturbance)?)
            .arg(&self.program)
            .args(&self.args)
            .current_dir(self.folder.as_deref().unwrap_or(&scratch.folder))
            .env("TMPDIR", &scratch.temporary)
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_LOG")
            .env("PYTHONUNBUFFERED", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut supervisor = command.spawn().with_context(|| {
            format!("cannot start {}", self.supervisor.display())
        })?;
        // The command still holds the pipe's writing ends; without this the
        // end of file would never come.
        drop(command);
        let lifeline = supervisor.stdin.take();
        let mut output = Vec::new();
        reader.take(MOST_OUTPUT).read_to_end(&mut output)?;
        let status = supervisor.wait()?;
        drop(lifeline);
        let output = String::from_utf8_lossy(&output).into_owned();
        ensure!(status.success(), "the supervisor failed: {output}");

        let report = File::open(&scratch.report)
            .context("the supervisor left no report")?;
        let report: Report = serde_json::from_reader(report)?;
        let mut faults = Vec::new();
        if output.len() as u64 >= MOST_OUTPUT {
            faults.push(format!("printed more than {MOST_OUTPUT} bytes"));
        }
        if report.overdue {
            let limit = self.deadline.as_secs_f32();
            faults.push(format!("did not end within {limit} s"));
        }
        faults.extend(
            report
                .left
                .iter()
                .map(|left| format!("left a process: {left}")),
        );
        faults.extend(scratch.leftovers()?);
        faults.extend(
            shared_memory()
                .difference(&shared_before)
                .filter(|path| !is_mapped(path))
                .map(|path| format!("{LEFT_SHARED}: {}", path.display())),
        );
        Ok(Outcome {
            output,
            code: report.code,
            signal: report.signal,
            took: report.took,
            cpu: report.cpu,
            killed: report.killed,
            stops: report.stops,
            outlived: report.outlived,
            faults,
        })
    }
}

/// The folders that a run may use, and that it must leave empty.
struct Scratch {
    /// Removes everything when dropped.
    _root: TempDir,
    folder: PathBuf,
    temporary: PathBuf,
    report: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch> {
        let root = TempDir::with_prefix("multiprocessing-in-rust-")
            .context("cannot make a temporary folder")?;
        let folder = root.path().join("folder");
        let temporary = root.path().join("tmp");
        fs::create_dir(&folder)?;
        fs::create_dir(&temporary)?;
        let report = root.path().join("report.json");
        Ok(Scratch {
            _root: root,
            folder,
            temporary,
            report,
        })
    }

    fn leftovers(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for folder in [&self.folder, &self.temporary] {
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                faults.push(format!("left a file: {}", name.display()));
            }
        }
        Ok(faults)
    }
}

fn shared_memory() -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(SHARED_MEMORY).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

/// Whether a living process uses this shared memory. Then it is that
/// process's own (a browser's, say) and nobody has left it behind.
fn is_mapped(path: &Path) -> bool {
    let path = path.to_string_lossy();
    let processes = fs::read_dir("/proc").into_iter().flatten();
    processes
        .filter_map(|entry| Some(entry.ok()?.path().join("maps")))
        .filter_map(|maps| fs::read_to_string(maps).ok())
        .any(|maps| maps.contains(path.as_ref()))
}
