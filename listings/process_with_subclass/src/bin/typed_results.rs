// ANCHOR: all
//! Brings typed results back from processes, and panics and deaths as errors.

use std::any::Any;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, Command, Stdio};
use std::{env, mem};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

trait Process: Serialize + DeserializeOwned {
    const NAME: &'static str;
    type Output: Serialize + DeserializeOwned;

    fn run(&mut self) -> Self::Output;

    // ANCHOR: start
    fn start(&self) -> Result<Started<Self>> {
        let fields = serde_json::to_vec(self)?;
        let mut child = Command::new(env::current_exe()?)
            .arg(Self::NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", Self::NAME))?;
        if let Err(error) = send(&mut child, &fields) {
            // Unread output could keep it from its end, which may say why.
            drop(child.stdout.take());
            let end = match child.wait() {
                Ok(status) => format!("has failed: {status}"),
                Err(why) => format!("cannot be waited for: {why}"),
            };
            return Err(error.context(format!("{} {end}", Self::NAME)));
        }
        let kind = PhantomData;
        Ok(Started { child, kind })
    }
    // ANCHOR_END: start
}

fn send(child: &mut Child, fields: &[u8]) -> Result<()> {
    let mut input = child.stdin.take().context("the child has no input")?;
    input.write_all(fields).context("cannot send the fields")
}

// ANCHOR: kind
#[derive(Serialize, Deserialize)]
struct Median {
    values: Vec<u32>,
}

impl Process for Median {
    const NAME: &'static str = "median";
    type Output = u32;

    fn run(&mut self) -> u32 {
        let mut values = mem::take(&mut self.values);
        values.sort_unstable();
        values[values.len() / 2]
    }
}
// ANCHOR_END: kind

#[derive(Serialize, Deserialize)]
struct Victim;

impl Process for Victim {
    const NAME: &'static str = "victim";
    type Output = ();

    fn run(&mut self) {
        // What the kernel does to a process when memory runs out.
        let _ = raise(Signal::SIGKILL);
    }
}

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == Median::NAME => child::<Median>(),
        Some(role) if role == Victim::NAME => child::<Victim>(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"median\" or \"victim\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let values = vec![21, 3, 8];
    let odd = Median { values }.start();
    let empty = Median { values: vec![] }.start();
    let victim = Victim.start();

    // Whatever has failed, a child that has been started is waited for.
    let median: Result<u32> = odd.and_then(Started::join);
    let empty = empty.map(Started::join);
    let victim = victim.map(Started::join);
    let mut out = io::stdout();
    writeln!(out, "median: {}", median?)?;
    // Those two fail. That they could not start would be another matter.
    for error in [empty?.err(), victim?.err()].into_iter().flatten() {
        writeln!(out, "error: {error:#}")?;
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: child
fn child<P: Process>() -> Result<()> {
    let mut process: P = serde_json::from_reader(io::stdin())
        .with_context(|| format!("cannot read the fields of {}", P::NAME))?;
    // The message goes to the parent, not to standard error.
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| process.run()));
    let reply: Result<P::Output, String> = outcome.map_err(panic_message);
    io::stdout().write_all(&serde_json::to_vec(&reply)?)?;
    io::stdout().flush().context("cannot send the result")
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(message) => message.to_string(),
            Err(_) => "no message".to_string(),
        },
    }
}
// ANCHOR_END: child

// ANCHOR: join
struct Started<P> {
    child: Child,
    kind: PhantomData<P>,
}

impl<P: Process> Started<P> {
    fn join(self) -> Result<P::Output> {
        let output = self.child.wait_with_output();
        let output =
            output.with_context(|| format!("cannot wait for {}", P::NAME))?;
        let status = output.status;
        ensure!(status.success(), "{} died: {status}", P::NAME);
        let reply: Result<P::Output, String> =
            serde_json::from_slice(&output.stdout)
                .with_context(|| format!("{} sent no result", P::NAME))?;
        reply.map_err(|message| anyhow!("{} panicked: {message}", P::NAME))
    }
}
// ANCHOR_END: join
// ANCHOR_END: all
