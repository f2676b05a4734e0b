//! What used to go wrong with a service, and with a worker that outlives main.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use running::descendants;
use running::supervise::Supervised;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// A folder for a service, which is gone when this is dropped.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        // The service becomes a child of this process, to be waited for.
        descendants::adopt_orphans().expect("Linux has subreapers");
        Place(TempDir::new().expect("a folder for temporary files"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the role `main`, which starts the service.
    fn start(&self, prepare: impl FnOnce(&mut Command)) -> Output {
        let mut main = Command::new(crate::executable("detached_service"));
        main.arg("main").arg(self.path());
        main.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        main.stdout(Stdio::piped()).stderr(Stdio::piped());
        prepare(&mut main);
        let main = main.spawn().expect("main starts");
        within("main", move || main.wait_with_output())
            .expect("main can be waited for")
    }

    fn service(&self) -> Option<Pid> {
        let pid = fs::read_to_string(self.path().join("service.pid")).ok()?;
        Some(Pid::from_raw(pid.trim().parse().ok()?))
    }

    /// Asks the service to stop. How has it ended?
    fn stop(&self) -> WaitStatus {
        let pid = self.service().expect("the service's PID is on file");
        kill(pid, Signal::SIGTERM).expect("the service runs");
        let end = within("the service", move || waitpid(pid, None));
        fs::remove_file(self.path().join("service.pid")).expect("a PID file");
        end.expect("the service is our child")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.service() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

/// Waits for `what`, but not for ever.
fn within<T: Send + 'static>(
    what: &str,
    end: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(end()));
    let end = ended.recv_timeout(DEADLINE);
    end.unwrap_or_else(|_| panic!("{what} does not end"))
}

fn exited(code: i32) -> impl Fn(WaitStatus) -> bool {
    move |end| matches!(end, WaitStatus::Exited(_, it) if it == code)
}

/// A starter that blocks SIGTERM, to read it from a descriptor, say.
#[test]
fn a_service_whose_starter_blocks_sigterm_could_not_be_stopped() {
    let place = Place::new();
    let started = place.start(|main| {
        let blocked = SigSet::from(Signal::SIGTERM);
        // SAFETY: between fork and exec only one system call runs.
        unsafe { main.pre_exec(move || Ok(blocked.thread_block()?)) };
    });
    assert!(started.status.success(), "{started:?}");
    assert!(exited(0)(place.stop()));
}

/// A starter that holds a lock, and does not close it on exec.
#[test]
fn a_service_kept_the_lock_of_its_starter_for_ever() {
    let place = Place::new();
    let path = place.path().join("starter.lock");
    let lock = File::create(&path).expect("a file to lock");
    lock.lock().expect("nobody else has locked it");
    let started = place.start(|main| {
        let number = lock.as_raw_fd();
        // SAFETY: between fork and exec only one system call runs. The new
        // number is open only in the child.
        unsafe {
            main.pre_exec(move || match libc::dup2(number, 100) {
                100 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            })
        };
    });
    assert!(started.status.success(), "{started:?}");
    drop(lock);
    let again = File::open(&path).expect("the file is there");
    // A process that another test is about to start may have a copy, too, for
    // the moment between its fork and its exec.
    let locked = within("freeing the lock", move || again.lock());
    assert!(locked.is_ok(), "{locked:?}");
    assert!(exited(0)(place.stop()));
}

#[test]
fn a_service_died_of_a_full_disk_under_its_log() {
    let place = Place::new();
    let log = place.path().join("service.log");
    symlink("/dev/full", log).expect("a link");
    let started = place.start(|_| ());
    assert!(started.status.success(), "{started:?}");
    assert!(exited(0)(place.stop()));
}

#[test]
fn main_called_it_a_failure_when_only_its_own_output_was_full() {
    let place = Place::new();
    let started = place.start(|main| {
        let full = File::options().write(true).open("/dev/full");
        main.stdout(full.expect("Linux has it"));
    });
    // Whatever main says, it is true of the service.
    assert!(started.status.success(), "{started:?}");
    assert!(exited(0)(place.stop()));
}

#[test]
fn the_reason_of_a_failed_start_was_nowhere_to_be_found() {
    let place = Place::new();
    // A directory is in the way of the PID file, and of the log.
    for (name, reason) in [
        ("service.pid", "cannot open the PID file"),
        ("service.log", "cannot open the log"),
    ] {
        fs::create_dir(place.path().join(name)).expect("a folder");
        let started = place.start(|_| ());
        fs::remove_dir(place.path().join(name)).expect("a folder");
        let errors = String::from_utf8_lossy(&started.stderr).into_owned();
        assert_eq!(started.status.code(), Some(1), "{errors}");
        assert!(errors.contains(reason), "{errors}");
        assert!(errors.contains("Is a directory"), "{errors}");
        // It has ended, and its lock is free.
        if let Some(pid) = place.service() {
            let end = within("the service", move || waitpid(pid, None));
            assert!(end.is_ok());
            fs::remove_file(place.path().join(name)).unwrap_or_default();
            fs::remove_file(place.path().join("service.pid"))
                .expect("a PID file");
        }
    }
}

#[test]
fn a_copied_service_was_ended_by_the_alarm_of_a_demonstration() {
    let root = running::root();
    let folder = root.join("listings/run_bg_process_no_daemon/src");
    for program in ["bin/detached_service.rs", "main.rs"] {
        let source = fs::read_to_string(folder.join(program));
        let source = source.expect("the listing is there");
        assert!(!source.contains("alarm"), "{program}");
    }
}

/// The folder for temporary files, not the program's own.
#[test]
fn a_path_that_is_not_utf_8_was_a_panic_and_ten_seconds_of_waiting() {
    let root = TempDir::new().expect("a folder for temporary files");
    let folder: PathBuf =
        root.path().join(std::ffi::OsStr::from_bytes(b"not \xff"));
    fs::create_dir(&folder).expect("a folder");
    for program in ["run_bg_process_no_daemon", "detached_service"] {
        let executable = crate::executable(program);
        let outcome = Supervised::new(crate::SUPERVISOR, executable)
            .env("TMPDIR", &folder)
            .deadline(DEADLINE)
            .run()
            .expect("the supervisor works");
        let faults = outcome.faults_unless_exit(0);
        assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
        let left = fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(left, 0, "{program} left a file");
    }
}
