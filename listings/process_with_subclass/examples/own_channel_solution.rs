// ANCHOR: all
//! Exercise: a result channel that a println! cannot spoil.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn run(numbers: &[u32]) -> u32 {
    println!("adding {} numbers", numbers.len());
    numbers.iter().sum()
}

// ANCHOR: piece
fn call(numbers: &[u32]) -> Result<(u32, String)> {
    let (mut channel, child_end) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(OwnedFd::from(child_end))
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    channel.write_all(&serde_json::to_vec(numbers)?)?;
    channel.shutdown(Shutdown::Write)?;
    let mut result = Vec::new();
    channel.read_to_end(&mut result)?;
    let output = child.wait_with_output()?;
    let sum = serde_json::from_slice(&result);
    let printed = String::from_utf8(output.stdout)?;
    Ok((sum.context("not solved yet: no result")?, printed))
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
    let (sum, printed) = call(&[3, 4, 5])?;
    ensure!(sum == 12, "not solved yet: the sum is {sum}");
    ensure!(
        printed == "adding 3 numbers\n",
        "not solved yet: run() printed {printed:?}"
    );
    println!("solved: the sum is {sum}, and run() printed {printed:?}");
    Ok(())
}
// ANCHOR_END: all
