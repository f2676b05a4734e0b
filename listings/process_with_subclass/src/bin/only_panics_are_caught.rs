// ANCHOR: all
//! Proves that catch_unwind reports a panic, but neither an exit nor a signal.

use std::io::{self, Write};
use std::process::{self, Command, Output, Stdio};
use std::{env, panic};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn obey(order: &str) -> Result<()> {
    match order {
        "panic" => panic::panic_any("no such item"),
        "exit" => process::exit(3),
        "die" => raise(Signal::SIGKILL).context("cannot die"),
        _ => bail!("expected an order on standard input"),
    }
}

// ANCHOR: catch
fn child() -> Result<()> {
    let order = io::read_to_string(io::stdin())?;
    let outcome = panic::catch_unwind(|| obey(&order));
    println!(
        "{}",
        if outcome.is_ok() {
            "returned"
        } else {
            "panicked"
        }
    );
    outcome.unwrap_or(Ok(()))
}
// ANCHOR_END: catch

// ANCHOR: proof
fn parent() -> Result<()> {
    for (order, message, status) in [
        ("panic", "panicked\n", "exit status: 0"),
        ("exit", "", "exit status: 3"),
        ("die", "", "signal: 9 (SIGKILL)"),
    ] {
        let output = send(order)?;
        assert_eq!(String::from_utf8(output.stdout)?, message);
        assert_eq!(output.status.to_string(), status);
        println!("{order}: {message:?}, {status}");
    }
    Ok(())
}
// ANCHOR_END: proof

fn send(order: &str) -> Result<Output> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the child")?;
    let mut input = child.stdin.take().context("the child has no input")?;
    let sent = input.write_all(order.as_bytes());
    drop(input);
    let output = child.wait_with_output().context("cannot wait for it")?;
    sent.context("cannot send the order")?;
    Ok(output)
}
// ANCHOR_END: all
