// ANCHOR: all
//! Exercise: a result channel that a println! cannot spoil.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};

const LIMIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn run(numbers: &[u32]) -> u32 {
    assert!(!numbers.is_empty(), "there is nothing to add");
    for number in numbers {
        println!("adding {number}");
    }
    numbers.iter().sum()
}

// ANCHOR: piece
fn call(numbers: &[u32]) -> Result<(u32, String)> {
    let fields = serde_json::to_vec(numbers)?;
    let (channel, child_end) = UnixStream::pair()?;
    let exchange = thread::Builder::new()
        .spawn(move || exchange(channel, &fields))
        .context("cannot start a thread")?;
    let child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(OwnedFd::from(child_end))
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    // Meanwhile the thread sends and receives.
    let output = child.wait_with_output().context("cannot wait for it")?;
    let status = output.status;
    ensure!(status.success(), "the child failed: {status}");
    let result = exchange.join().map_err(|_| anyhow!("it panicked"))??;
    let sum =
        serde_json::from_slice(&result).context("not solved yet: no result")?;
    Ok((sum, String::from_utf8(output.stdout)?))
}

fn exchange(mut channel: UnixStream, fields: &[u8]) -> io::Result<Vec<u8>> {
    channel.write_all(fields)?;
    channel.shutdown(Shutdown::Write)?;
    let mut result = Vec::new();
    channel.read_to_end(&mut result)?;
    Ok(result)
}

fn child() -> Result<()> {
    let mut channel = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let numbers: Vec<u32> =
        serde_json::from_reader(&channel).context("cannot read the numbers")?;
    let result = serde_json::to_vec(&run(&numbers))?;
    channel.write_all(&result).context("cannot send the result")
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    limit_time()?;
    // The second prints more than a pipe holds.
    for most in [3, 20_000] {
        let numbers: Vec<u32> = (1..=most).collect();
        let (sum, printed) = call(&numbers)?;
        let expected: u32 = numbers.iter().sum();
        ensure!(
            sum == expected,
            "not solved yet: the sum is {sum}, not {expected}"
        );
        let lines: String =
            numbers.iter().map(|it| format!("adding {it}\n")).collect();
        ensure!(
            printed == lines,
            "not solved yet: {} of {} bytes of what run() printed",
            printed.len(),
            lines.len()
        );
        println!("the sum is {sum}, and {} bytes were printed", printed.len());
    }
    let error = call(&[]).err().context("not solved yet: no error")?;
    ensure!(
        format!("{error:#}").contains("exit status: 101"),
        "not solved yet: run() has panicked, and the error is: {error:#}"
    );
    println!("solved: each has its own way, and a panic is an error");
    Ok(())
}

/// Says so if an answer hangs, and ends.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(LIMIT);
        let hangs = "Error: not solved yet: it hangs, for 10 seconds now";
        let _ = writeln!(io::stderr(), "{hangs}");
        process::exit(1);
    };
    thread::Builder::new().spawn(limit)?;
    Ok(())
}
// ANCHOR_END: all
