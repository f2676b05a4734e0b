// ANCHOR: all
//! Solution: count each payment once, though it may be booked twice.

use std::collections::HashSet;
use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
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

fn check() -> Result<()> {
    let mut ledger = Ledger::default();
    // The victim books two payments and is killed before it has told the
    // broker. So the broker gives out all three again, and a new one.
    let given = [
        ("victim", "7 50\n3 20\n9 31\n"),
        ("consumer", "3 20\n2 20\n9 31\n7 50\n"),
    ];
    for (role, payments) in given {
        for booking in bookings(role, payments)?.lines() {
            let (payment, amount) =
                booking.split_once(' ').context("not a booking")?;
            ledger.book(payment.parse()?, amount.parse()?);
        }
    }
    let total = ledger.total;
    ensure!(
        total == 121,
        "not solved yet: expected a total of 121, found {total}"
    );
    println!("solved: four payments, a total of {total}");
    Ok(())
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
