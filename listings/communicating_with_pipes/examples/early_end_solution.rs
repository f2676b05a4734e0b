// ANCHOR: all
//! Solution: end quietly when the next process has read enough.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("numbers") => numbers(),
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
    let first = Command::new(&program)
        .arg("first")
        .stdin(pipe)
        .output()
        .context("cannot start the second process")?;
    let status = numbers.wait()?;
    ensure!(
        first.stdout == b"1\n2\n3\n",
        "not solved yet: lines are wrong"
    );
    ensure!(
        status.success(),
        "not solved yet: numbers ended with {status}"
    );

    let all = Command::new(&program).arg("numbers").output()?;
    let lines = all.stdout.split(|&byte| byte == b'\n').count() - 1;
    ensure!(lines == 100_000, "not solved yet: {lines} numbers in all");
    #[cfg(target_os = "linux")]
    refuse_to_write(&program)?;
    println!("solved: 1, 2, 3, and both processes ended well");
    Ok(())
}

#[cfg(target_os = "linux")]
fn refuse_to_write(program: &std::path::Path) -> Result<()> {
    // This device answers each write as a full disk would.
    let disk = std::fs::File::options().write(true).open("/dev/full")?;
    let status = Command::new(program)
        .arg("numbers")
        .stdout(disk)
        .stderr(Stdio::null())
        .status()?;
    let reported = !status.success();
    ensure!(reported, "not solved yet: a full disk goes unnoticed");
    Ok(())
}
// ANCHOR_END: all
