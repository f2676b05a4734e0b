//! Section `process_pool`.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;
use running::supervise::Supervised;
use tempfile::TempDir;

use crate::{SUPERVISOR, executable};

/// Long enough for whatever ends by itself, on a busy machine too.
const AMPLE: Duration = Duration::from_secs(30);

/// A copy of a program that has started its workers and cannot go on: the
/// pipe for its output is full.
struct Held {
    program: Child,
    output: PipeReader,
    filled: usize,
    folder: TempDir,
}

impl Held {
    fn new(name: &str, workers: usize) -> Held {
        let folder = TempDir::with_prefix("replaced-").unwrap();
        let copy = folder.path().join(name);
        copy_program(name, &copy);
        let (output, mut full) = io::pipe().unwrap();
        let filled = fcntl(&full, FcntlArg::F_GETPIPE_SZ).unwrap() as usize;
        full.write_all(&vec![b' '; filled]).unwrap();
        let program = Command::new(&copy)
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let held = Held {
            program,
            output,
            filled,
            folder,
        };
        let start = Instant::now();
        while held.workers() < workers {
            assert!(start.elapsed() < AMPLE, "{} workers", held.workers());
            thread::sleep(Duration::from_millis(1));
        }
        held
    }

    /// How many of its children run as workers.
    fn workers(&self) -> usize {
        let threads = format!("/proc/{}/task", self.program.id());
        let threads = fs::read_dir(threads).unwrap().flatten();
        let children = threads.flat_map(|thread| {
            let children = fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            let children = children.split_whitespace();
            children.map(str::to_owned).collect::<Vec<_>>()
        });
        children
            .filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .filter(|command| command.ends_with(b"\0worker\0"))
            .count()
    }

    fn copy(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it go on to its end: what it prints, what it complains of, and
    /// how it ends.
    fn release(mut self) -> (String, String, ExitStatus) {
        let mut output = self.output.try_clone().unwrap();
        let mut errors = self.program.stderr.take().unwrap();
        let (sender, read) = mpsc::channel();
        thread::spawn(move || {
            let mut texts = [String::new(), String::new()];
            let read = output.read_to_string(&mut texts[0]);
            read.unwrap();
            errors.read_to_string(&mut texts[1]).unwrap();
            let _ = sender.send(texts);
        });
        let texts = read.recv_timeout(AMPLE).expect("it does not end");
        let [output, errors] = texts;
        let status = self.program.wait().unwrap();
        (output[self.filled..].to_owned(), errors, status)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Another process writes the copy: one that this process has open for
/// writing cannot be started, and a child of another test's may inherit it.
fn copy_program(name: &str, copy: &Path) {
    let status = Command::new("cp").arg(executable(name)).arg(copy).status();
    assert!(status.unwrap().success(), "cannot copy {name}");
}

/// What the book shows of a program's output.
fn recorded(name: &str) -> String {
    let root = running::root();
    let file = format!("listings/process_pool/output/{name}.txt");
    let text = fs::read_to_string(root.join(file)).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

/// `current_exe` names a path, and an update puts another program there.
#[test]
fn an_update_while_it_runs_stops_no_replacement() {
    let pools = [("process_pool", 3), ("task_deadline", 1)];
    for (name, workers) in pools {
        for update in [None, Some("/bin/true")] {
            let held = Held::new(name, workers);
            let copy = held.copy().join(name);
            fs::remove_file(&copy).unwrap();
            if let Some(other) = update {
                fs::copy(other, &copy).unwrap();
            }
            let (output, errors, status) = held.release();
            assert_eq!(output, recorded(name), "{name}, {update:?}");
            assert_eq!(errors, "", "{name}, {update:?}");
            assert!(status.success(), "{name}, {update:?}: {status}");
        }
    }
}

/// It used to start the replacement first, and the reason was thrown away.
#[test]
fn a_loss_is_told_although_nobody_can_replace_the_worker() {
    let held = Held::new("process_pool", 3);
    let limited = Command::new("prlimit")
        .args(["--pid", &held.program.id().to_string(), "--nofile=3:3"])
        .status();
    assert!(limited.is_ok_and(|status| status.success()), "util-linux");
    let (output, errors, status) = held.release();
    assert_eq!(output, recorded("process_pool"));
    let word = "the pool has a worker less: cannot start /proc/self/exe: \
                Too many open files (os error 24)\n";
    assert_eq!(errors, word);
    assert!(status.success(), "{status}");
}

/// It used to panic when no thread could be had.
#[test]
fn too_few_processes_are_an_error_and_no_panic() {
    // As a user of its own, who has no other process.
    const USER: &str = "61417";
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become a user without processes");
        return;
    }
    let folder = TempDir::with_prefix("few-").unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), everybody).unwrap();
    for (name, needed) in [("process_pool", 7), ("close_join_terminate", 7)] {
        let copy = folder.path().join(name);
        copy_program(name, &copy);
        for processes in 1..=needed {
            let outcome = Supervised::new(SUPERVISOR, "setpriv")
                .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
                .arg("prlimit")
                .arg(format!("--nproc={processes}:{processes}"))
                .arg(&copy)
                .deadline(AMPLE)
                .run()
                .unwrap();
            let case = format!("{name}, {processes}: {}", outcome.output);
            assert!(!outcome.output.contains("panicked"), "{case}");
            // A worker may also live without its last thread for a moment.
            if outcome.code == Some(0) && processes > 4 {
                assert!(outcome.output.ends_with(&recorded(name)), "{case}");
                assert_eq!(outcome.faults, [""; 0], "{case}");
                continue;
            }
            assert!(processes < needed, "{case}");
            assert_eq!(outcome.faults_unless_exit(1), [""; 0], "{case}");
            assert!(outcome.output.contains("Error: cannot start "), "{case}");
            let cause = "Resource temporarily unavailable (os error 11)";
            assert!(outcome.output.contains(cause), "{case}");
        }
    }
}
