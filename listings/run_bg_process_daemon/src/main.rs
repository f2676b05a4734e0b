// ANCHOR: all
//! Ends a main program in four ways, and its daemon ends with it each time.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => observer(),
        Some(role) if role == "main" => {
            let way = args.next().context("a way to end is missing")?;
            main_program(&way.to_string_lossy())
        }
        Some(role) if role == "daemon" => daemon(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"daemon\"")
        }
    }
}

// ANCHOR: lifeline
fn main_program(way: &str) -> Result<()> {
    let daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    // Dropped any earlier, it would end the daemon too early.
    let _lifeline = daemon.stdin;
    match way {
        "return" => Ok(()),
        "panic" => panic!("main was told to panic"),
        "exit" => process::exit(3),
        "SIGKILL" => Ok(raise(Signal::SIGKILL)?),
        _ => bail!("unknown way to end: {way:?}"),
    }
}

fn daemon() -> Result<()> {
    let watcher = thread::Builder::new().spawn(end_with_main);
    watcher.context("cannot start the watcher")?;
    loop {
        // The daemon's own work has no end.
        thread::park();
    }
}

fn end_with_main() {
    // Nobody writes to the lifeline: reading it lasts as long as main does.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    // To show it: this may wait for a reader, and println! may panic.
    let _ = writeln!(io::stdout(), "main is gone");
    process::exit(0);
}
// ANCHOR_END: lifeline

fn observer() -> Result<()> {
    // Linux lets us adopt the daemon when main is gone, and so wait for it.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)
        .context("cannot become a subreaper")?;
    for way in ["return", "panic", "exit", "SIGKILL"] {
        let main = Command::new(env::current_exe()?)
            .args(["main", way])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start main")?;
        let main = main.wait_with_output();
        #[cfg(target_os = "linux")]
        let daemon = loop {
            match nix::sys::wait::wait() {
                Err(nix::errno::Errno::EINTR) => {} // a signal came: wait on
                end => break end,
            }
        };
        let main = main.context("cannot wait for main")?;
        let last_words = String::from_utf8_lossy(&main.stdout);
        let errors = String::from_utf8_lossy(&main.stderr);
        ensure!(!last_words.is_empty(), "{way}: no last words; {errors}");
        #[cfg(target_os = "linux")]
        daemon.context("cannot wait for the daemon")?;
        let status = main.status;
        writeln!(io::stdout(), "{way}: {status}, the daemon: {last_words:?}")?;
    }
    Ok(())
}
// ANCHOR_END: all
