// ANCHOR: all
//! Solution: end quietly when the next process has read enough.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::alarm;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("numbers") => {
            // If it hangs, SIGALRM ends it.
            alarm::set(10);
            numbers()
        }
        Some("first") => first(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"numbers\" or \"first\"")
        }
    }
}

// ANCHOR: exercise
fn numbers() -> Result<()> {
    let mut output = io::stdout().lock();
    for number in 1..=100_000 {
        match writeln!(output, "{number}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(());
            }
            result => result.context("cannot write a number")?,
        }
    }
    Ok(())
}
// ANCHOR_END: exercise

fn first() -> Result<()> {
    for line in io::stdin().lines().take(3) {
        writeln!(io::stdout(), "{}", line?)?;
    }
    Ok(())
}

fn parent() -> Result<()> {
    let program = env::current_exe()?;
    let mut numbers = Command::new(&program)
        .arg("numbers")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the first process")?;
    let pipe = numbers.stdout.take().context("it has no output")?;
    let first = Command::new(&program).arg("first").stdin(pipe).output();
    let status = numbers.wait().context("cannot wait for numbers")?;
    let first = first.context("cannot run the second process")?;
    ensure!(
        first.stdout == b"1\n2\n3\n",
        "not solved yet: lines are wrong"
    );
    ended_well(status)?;

    let (reader, writer) = io::pipe()?;
    let mut numbers = start(&program, writer)?;
    let mut all = Vec::new();
    // More than all the numbers, and not without end.
    let read = reader.take(1_000_000).read_to_end(&mut all);
    let status = numbers.wait().context("cannot wait for numbers")?;
    read?;
    let lines = all.split(|&byte| byte == b'\n').count() - 1;
    ensure!(lines == 100_000, "not solved yet: {lines} numbers in all");
    ended_well(status)?;

    // A pipe that takes no more just now is an error like any other.
    let (_reader, writer) = io::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let status = start(&program, writer)?.wait()?;
    ensure!(
        !status.success(),
        "not solved yet: a lost line goes unnoticed"
    );
    #[cfg(target_os = "linux")]
    {
        // This device answers each write as a full disk would.
        let disk = std::fs::File::options().write(true).open("/dev/full")?;
        let status = start(&program, disk)?.wait()?;
        let reported = !status.success();
        ensure!(reported, "not solved yet: a full disk goes unnoticed");
    }
    println!("solved: 1, 2, 3, and both processes ended well");
    Ok(())
}

fn start(program: &Path, output: impl Into<Stdio>) -> Result<Child> {
    Command::new(program)
        .arg("numbers")
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start numbers")
}

fn ended_well(status: ExitStatus) -> Result<()> {
    let in_time = status.signal() != Some(Signal::SIGALRM as i32);
    ensure!(in_time, "not solved yet: numbers hangs");
    let ended = status.success();
    ensure!(ended, "not solved yet: numbers ended with {status}");
    Ok(())
}
// ANCHOR_END: all
