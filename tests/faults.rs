//! The checks themselves can fail: each fault that they promise to catch is
//! planted here, and must be caught and named.

use std::fs;
use std::process::Command;
use std::sync::RwLock;
use std::time::Duration;

use running::supervise::{Outcome, Supervised};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

/// Long enough for what ends by itself, on a busy machine too.
const AMPLE: Duration = Duration::from_secs(30);

/// Shared memory has no owner that could be told apart, so the test that
/// leaves some runs alone.
static SHARED: RwLock<()> = RwLock::new(());

fn shell(script: &str, deadline: Duration) -> Outcome {
    let _others = SHARED.read().unwrap();
    run(script, deadline)
}

fn run(script: &str, deadline: Duration) -> Outcome {
    Supervised::new(SUPERVISOR, "sh")
        .args(["-c", script])
        .deadline(deadline)
        .run()
        .unwrap()
}

fn assert_only_fault(outcome: &Outcome, fault: &str) {
    let faults = &outcome.faults;
    assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
}

#[test]
fn a_tidy_program_has_no_fault() {
    let outcome = shell("echo out; echo err >&2; exit 3", AMPLE);
    assert_eq!(outcome.output, "out\nerr\n");
    assert_eq!(outcome.ending(), "exit code 3");
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    assert_eq!(outcome.faults_unless_exit(0).len(), 1);
}

#[test]
fn an_endless_program_is_ended() {
    let outcome = shell("while :; do :; done", Duration::from_millis(300));
    assert_only_fault(&outcome, "did not end within 0.3 s");
    assert_eq!(outcome.ending(), "signal SIGKILL");
}

#[test]
fn an_endless_family_is_ended() {
    let script = "setsid sh -c 'while :; do sleep 1; done' & wait";
    let outcome = shell(script, Duration::from_millis(300));
    assert_only_fault(&outcome, "did not end within 0.3 s");
}

#[test]
fn endless_output_is_bounded() {
    let outcome = shell("yes", AMPLE);
    assert_only_fault(&outcome, "printed more than 1048576 bytes");
}

/// As under a shell's `&`, under `nohup` and under a profiler.
#[test]
#[cfg(target_os = "linux")]
fn what_the_starter_ignores_or_blocks_the_program_does_not() {
    let _others = SHARED.read().unwrap();
    let ignored = "trap '' HUP INT QUIT USR2; exec \"$@\"";
    let status = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    // Beyond the 31 standard signals are those of the C library itself.
    let standard = |line: &str| {
        let (_, mask) = line.split_once('\t').unwrap();
        u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff
    };
    // Its standard input is a lifeline.
    let seen = |starter: &[&str]| {
        let (lifeline, _open) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", ignored, "sh"]).args(starter);
        command.args(["sh", "-c", status]).stdin(lifeline);
        let output = command.output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        output.lines().map(standard).collect::<Vec<_>>()
    };
    let none = [0, 0];
    assert_ne!(seen(&[]), none, "they are ignored without a supervisor");
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report").display().to_string();
    let supervised = [SUPERVISOR, &report, "30000", "0", "null"];
    assert_eq!(seen(&supervised), none);
}

#[test]
fn a_death_by_signal_is_told() {
    let outcome = shell("kill -KILL $$", AMPLE);
    assert_eq!(outcome.ending(), "signal SIGKILL");
}

#[test]
#[cfg(target_os = "linux")]
fn a_kill_hits_one_process() {
    let _others = SHARED.read().unwrap();
    // Choice 1 is never the program, choice 0 always is.
    for (choice, output) in [(1, "137\n"), (0, "")] {
        let outcome = Supervised::new(SUPERVISOR, "sh")
            .args(["-c", "sleep 1003; echo $?"])
            .kill_one(Duration::from_millis(500), choice)
            .grace(Duration::from_millis(100))
            .run()
            .unwrap();
        let killed = outcome.killed.unwrap();
        assert_eq!(killed.program, choice == 0);
        assert_eq!(outcome.output.replace("Killed\n", ""), output);
        assert_eq!(!outcome.faults.is_empty(), choice == 0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_leaked_child_is_found() {
    // The child may not have become `sleep` yet when it is found, but its
    // command line has the words in both cases.
    let outcome = shell("sleep 1000 & exit 0", AMPLE);
    assert_only_fault(&outcome, "left a process: still running: ");
    assert!(
        outcome.faults[0].contains("sleep 1000"),
        "{:?}",
        outcome.faults
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_leaked_child_in_a_session_of_its_own_is_found() {
    let script = "(setsid sh -c 'echo up; exec sleep 1001' &) | head -n 1";
    let outcome = shell(script, AMPLE);
    assert_only_fault(&outcome, "left a process: still running: ");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_outlives_the_program_is_seen() {
    let _others = SHARED.read().unwrap();
    for (script, outlived) in [("(sleep 0.2; echo on) &", true), (":", false)] {
        let outcome = Supervised::new(SUPERVISOR, "sh")
            .args(["-c", script])
            .grace(AMPLE)
            .run()
            .unwrap();
        assert_eq!(outcome.outlived, outlived);
        assert_eq!(outcome.output == "on\n", outlived);
        assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    }
}

/// Set when this executable is started again to play a fault itself.
const PLANTED: &str = "MULTIPROCESSING_IN_RUST_PLANTED";

#[test]
#[cfg(target_os = "linux")]
fn a_zombie_is_found() {
    if std::env::var_os(PLANTED).is_some() {
        return leave_a_zombie();
    }
    let _others = SHARED.read().unwrap();
    let this = std::env::current_exe().unwrap();
    let outcome = Supervised::new(SUPERVISOR, this)
        .args(["--exact", "a_zombie_is_found"])
        .env(PLANTED, "1")
        .run()
        .unwrap();
    assert_only_fault(&outcome, "left a process: zombie, never waited for");
}

#[cfg(target_os = "linux")]
fn leave_a_zombie() {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    #[allow(clippy::zombie_processes)]
    let child = std::process::Command::new("true").spawn().unwrap();
    let child = Id::Pid(nix::unistd::Pid::from_raw(child.id() as i32));
    waitid(child, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
}

#[test]
fn a_file_left_behind_is_found() {
    let outcome = shell("touch forgotten", AMPLE);
    assert_only_fault(&outcome, "left a file: forgotten");
    let outcome = shell("mktemp >/dev/null", AMPLE);
    assert_only_fault(&outcome, "left a file: tmp.");
}

#[test]
#[cfg(target_os = "linux")]
fn shared_memory_left_behind_is_found() {
    let prefix = format!("multiprocessing-in-rust-{}", std::process::id());
    let script = format!("mktemp /dev/shm/{prefix}.XXXXXX >&2");
    let _alone = SHARED.write().unwrap();
    let outcome = run(&script, AMPLE);
    for entry in fs::read_dir("/dev/shm").unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(&prefix) {
            fs::remove_file(path).unwrap();
        }
    }
    let fault = format!("left shared memory: /dev/shm/{prefix}.");
    assert_only_fault(&outcome, &fault);
}

#[test]
#[cfg(target_os = "linux")]
fn shared_memory_of_another_program_is_no_fault() {
    // Left once, as by a program that ended while this one ran.
    let file = format!("/dev/shm/multiprocessing-{}", std::process::id());
    let _alone = SHARED.write().unwrap();
    let outcome = run(&format!("touch {file}"), AMPLE);
    fs::remove_file(file).unwrap();
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
}
