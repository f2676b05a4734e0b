// ANCHOR: all
//! Proves that after wait a Child is safe to kill, and its number is not.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("first") => first(),
        Some("stranger") => stranger(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"first\" or \"stranger\"")
        }
    }
}

// ANCHOR: proof
fn proof() -> Result<()> {
    let mut child =
        Command::new("true").spawn().context("cannot start true")?;
    let number = child.id();
    assert!(child.wait()?.success());
    let mut stranger = start_stranger(number)?;

    // The Child knows that it has been reaped, and sends nothing.
    child.kill()?;
    assert_eq!(stranger.answer_to("still there?\n")?, "still there?\n");
    println!("after Child::kill: the stranger answers");
    // A number knows nothing.
    kill(Pid::from_raw(number.try_into()?), Signal::SIGTERM)?;
    let status = stranger.child.wait()?;
    println!("after a raw kill:  {status}");
    assert_eq!(status.signal(), Some(15));
    Ok(())
}
// ANCHOR_END: proof

struct Stranger {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Stranger {
    fn answer_to(&mut self, line: &str) -> Result<String> {
        let input = self.child.stdin.as_mut().context("no pipe to it")?;
        // Fails if it is dead, and then there is no answer.
        let _ = input.write_all(line.as_bytes());
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        Ok(answer)
    }
}

// ANCHOR: stranger
/// Starts a process, and sees to it that it gets a number that was in use.
fn start_stranger(number: u32) -> Result<Stranger> {
    fs::write(NEXT_NUMBER, (number - 1).to_string())?;
    let mut child = Command::new(env::current_exe()?)
        .arg("stranger")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the stranger")?;
    assert_eq!(child.id(), number);
    let output = child.stdout.take().context("no pipe from it")?;
    let output = BufReader::new(output);
    let mut stranger = Stranger { child, output };
    assert_eq!(stranger.answer_to("here?\n")?, "here?\n");
    Ok(stranger)
}
// ANCHOR_END: stranger

fn stranger() -> Result<()> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) }?;
    SigSet::all().thread_unblock().context("cannot unblock")?;
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}

fn first() -> Result<()> {
    ensure!(
        process::id() == 1,
        "expected to be process 1 of a namespace"
    );
    // What it says here does not matter: is it allowed to say anything?
    match fs::write(NEXT_NUMBER, "1") {
        Ok(()) => proof(),
        Err(refusal) => not_shown(&refusal),
    }
}

const NEXT_NUMBER: &str = "/proc/sys/kernel/ns_last_pid";

/// Runs the proof as process 1 of a PID namespace, where it may choose the
/// numbers of new processes.
fn parent() -> Result<()> {
    if let Err(refusal) = enter_namespace()? {
        return not_shown(&refusal.into());
    }
    let status = Command::new(env::current_exe()?)
        .arg("first")
        .spawn()
        .context("cannot start process 1")?
        .wait()
        .context("cannot wait for process 1")?;
    ensure!(status.success(), "process 1 ended with {status}");
    Ok(())
}

/// Gives the next child of this process a PID namespace. The inner error says
/// that the machine refuses it.
#[cfg(target_os = "linux")]
fn enter_namespace() -> Result<nix::Result<()>> {
    use nix::sched::{CloneFlags, unshare};
    let user = nix::unistd::getuid();
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID) {
        Ok(()) => {}
        Err(refusal @ (Errno::EPERM | Errno::ENOSPC)) => {
            return Ok(Err(refusal));
        }
        Err(error) => return Err(error).context("cannot make a namespace"),
    }
    // Only its user 0 keeps the right to choose numbers when it runs a program.
    match fs::write("/proc/self/uid_map", format!("0 {user} 1")) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            Ok(Err(Errno::EPERM))
        }
        written => Ok(Ok(written.context("cannot write /proc/self/uid_map")?)),
    }
}

#[cfg(not(target_os = "linux"))]
fn enter_namespace() -> Result<nix::Result<()>> {
    Ok(Err(Errno::ENOSYS))
}

/// A machine may refuse what the proof needs, unless it is there to prove it.
fn not_shown(refusal: &io::Error) -> Result<()> {
    let ci = env::var_os("CI").is_some_and(|ci| ci == "true");
    ensure!(
        !ci,
        "this machine refuses to let numbers be chosen: {refusal}"
    );
    println!("not shown, this machine lets nobody choose numbers: {refusal}");
    Ok(())
}
// ANCHOR_END: all
