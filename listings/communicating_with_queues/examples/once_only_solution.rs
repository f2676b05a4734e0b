// ANCHOR: all
//! Solution: count each payment once, though it may be booked twice.

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => in_time(check),
        Some("victim") => pay_and_die(),
        Some("consumer") => pay(usize::MAX),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"victim\" or \"consumer\"")
        }
    }
}

// ANCHOR: exercise
#[derive(Default)]
struct Ledger {
    seen: HashSet<u32>,
    total: u32,
}

impl Ledger {
    fn book(&mut self, payment: u32, amount: u32) {
        if self.seen.insert(payment) {
            self.total += amount;
        }
    }
}
// ANCHOR_END: exercise

fn in_time(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(check()));
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(checked) => checked,
        Err(RecvTimeoutError::Timeout) => {
            bail!("not solved yet: it hangs, no end after ten seconds")
        }
        Err(_) => bail!("not solved yet: it panicked"),
    }
}

fn check() -> Result<()> {
    let first = total("7 50\n3 20\n9 31\n", "3 20\n2 20\n9 31\n7 50\n")?;
    let second = total("1 5\n4 5\n2 6\n", "1 5\n4 5\n2 6\n3 5\n")?;
    ensure!(
        (first, second) == (121, 21),
        "not solved yet: expected totals of 121 and 21, \
         found {first} and {second}"
    );
    println!("solved: four payments each, totals of {first} and {second}");
    Ok(())
}

/// The victim books two payments and is killed before it has told the
/// broker. So the broker gives out all three again, and a new one.
fn total(given: &str, again: &str) -> Result<u32> {
    let mut ledger = Ledger::default();
    for (role, payments) in [("victim", given), ("consumer", again)] {
        for booking in bookings(role, payments)?.lines() {
            let (payment, amount) =
                booking.split_once(' ').context("not a booking")?;
            ledger.book(payment.parse()?, amount.parse()?);
        }
    }
    Ok(ledger.total)
}

fn bookings(role: &str, payments: &str) -> Result<String> {
    let mut child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a consumer")?;
    let mut input = child.stdin.take().context("it has no input")?;
    input.write_all(payments.as_bytes())?;
    drop(input);
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

/// Books each payment, which is a number and an amount.
fn pay(most: usize) -> Result<()> {
    for payment in io::stdin().lines().take(most) {
        writeln!(io::stdout(), "{}", payment?).context("cannot book")?;
    }
    Ok(())
}

fn pay_and_die() -> Result<()> {
    pay(2)?;
    Ok(raise(Signal::SIGKILL)?)
}
// ANCHOR_END: all
