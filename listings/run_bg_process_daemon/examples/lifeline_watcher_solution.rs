// ANCHOR: all
//! Exercise: a daemon that works and still notices the end of its parent.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    work()
}
// ANCHOR_END: exercise

fn work() -> ! {
    println!("working");
    loop {
        thread::park(); // work without end
    }
}

fn check() -> Result<()> {
    let mut daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let (sender, news) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        let _ = output.read_line(&mut line);
        let _ = sender.send(line);
        // The output ends when the daemon does.
        let _ = io::copy(&mut output, &mut io::sink());
        let _ = sender.send("ended".to_owned());
    });
    let works = news.recv_timeout(Duration::from_secs(3));
    drop(daemon.stdin.take()); // the lifeline is cut
    let ended = news.recv_timeout(Duration::from_secs(3)).is_ok();
    daemon.kill()?;
    daemon.wait()?;
    let works = works.is_ok_and(|line| line == "working\n");
    ensure!(works, "not solved yet: the daemon does not work");
    ensure!(ended, "not solved yet: the daemon lives on after 3 s");
    println!("solved: the daemon ends with its lifeline");
    Ok(())
}
// ANCHOR_END: all
