// ANCHOR: all
//! Exercise: a daemon that works and still notices the end of its parent.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::alarm;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("daemon") => daemon(),
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

// ANCHOR: exercise
fn daemon() -> Result<()> {
    alarm::set(30); // the exercise leaves nothing behind, solved or not
    println!("ready");
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    loop {
        thread::park(); // work without end
    }
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let mut daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the daemon said {line:?}, not \"ready\"");

    // The lifeline is cut. Standard error hangs up when the daemon ends.
    drop(daemon.stdin.take());
    let end = daemon.stderr.take().context("the daemon has no stderr")?;
    let mut ends = [PollFd::new(end.as_fd(), PollFlags::empty())];
    let limit = PollTimeout::try_from(Duration::from_secs(3))?;
    let ended = poll(&mut ends, limit)? == 1;
    daemon.kill()?;
    daemon.wait()?;
    ensure!(ended, "not solved yet: the daemon lives on after 3 s");
    println!("solved: the daemon ends with its lifeline");
    Ok(())
}
// ANCHOR_END: all
