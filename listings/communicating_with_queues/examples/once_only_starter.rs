// ANCHOR: all
//! Exercise: count each payment once, though it may be reported twice.

use std::collections::HashSet;
use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("victim") => pay(true),
        Some("consumer") => pay(false),
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
    fn record(&mut self, payment: u32, amount: u32) {
        self.seen.insert(payment);
        self.total += amount;
    }
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let mut ledger = Ledger::default();
    // The victim dies after its second payment, before anybody knows. So the
    // second and the third payment are given out again.
    for (role, payments) in [("victim", 1..=3), ("consumer", 2..=3)] {
        for payment in report(role, payments)?.lines() {
            ledger.record(payment.parse()?, 10);
        }
    }
    let total = ledger.total;
    ensure!(
        ledger.seen.len() == 3,
        "not solved yet: a payment is missing"
    );
    ensure!(total == 30, "not solved yet: 3 payments of 10 make {total}");
    println!("solved: 3 payments of 10 make {total}");
    Ok(())
}

fn report(
    role: &str,
    payments: std::ops::RangeInclusive<u32>,
) -> Result<String> {
    let mut child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a consumer")?;
    let mut input = child.stdin.take().context("it has no input")?;
    for payment in payments {
        // The victim may be gone already.
        let _ = input.write_all(format!("{payment}\n").as_bytes());
    }
    drop(input);
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

fn pay(dies: bool) -> Result<()> {
    for payment in io::stdin().lines() {
        let payment = payment?;
        writeln!(io::stdout(), "{payment}").context("cannot report")?;
        if dies && payment == "2" {
            raise(Signal::SIGKILL)?;
        }
    }
    Ok(())
}
// ANCHOR_END: all
