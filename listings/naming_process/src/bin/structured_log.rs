// ANCHOR: all
//! Four workers write structured lines to one pipe, and no line is torn.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const LINES: u32 = 200;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(&args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: log
/// Writes one line of `key=value` pairs by a single system call.
fn log(name: &str, seq: u32, event: &str) -> Result<()> {
    let line = format!("name={name} seq={seq} event={event}\n");
    ensure!(line.len() <= libc::PIPE_BUF, "the line is too long");
    let count = io::stderr().write(line.as_bytes())?;
    ensure!(count == line.len(), "only {count} bytes were written");
    Ok(())
}
// ANCHOR_END: log

// ANCHOR: worker
fn worker(name: &str) -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    for seq in 1..=LINES {
        log(name, seq, "page-loaded")?;
    }
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: parent
fn parent() -> Result<()> {
    let (reader, writer) = io::pipe()?;
    let names = ["Worker-1", "Worker-2", "Worker-3", "Worker-4"];
    let mut workers = Vec::new();
    for name in names {
        let worker = Command::new(env::current_exe()?)
            .args(["worker", name])
            .stdin(Stdio::piped())
            .stderr(writer.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        workers.push(worker);
    }
    drop(writer);
    // All are there. Closing their standard inputs lets them go.
    workers
        .iter_mut()
        .for_each(|worker| drop(worker.stdin.take()));

    let mut last = BTreeMap::new();
    for line in BufReader::new(reader).lines() {
        let line = line.context("cannot read the log")?;
        let (name, seq) = parse(&line)?;
        let before = last.insert(name.to_owned(), seq).unwrap_or(0);
        ensure!(seq == before + 1, "{name}: {seq} came after {before}");
    }
    for mut worker in workers {
        let status = worker.wait()?;
        ensure!(status.success(), "a worker: {status}");
    }
    for (name, lines) in &last {
        println!("{name}: {lines} lines, whole and in order");
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: parse
fn parse(line: &str) -> Result<(&str, u32)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [name, seq, "event=page-loaded"] = fields[..] else {
        bail!("a torn line: {line:?}");
    };
    let name = name.strip_prefix("name=").context("no name")?;
    let seq = seq.strip_prefix("seq=").context("no seq")?;
    Ok((name, seq.parse().context("seq is not a number")?))
}
// ANCHOR_END: parse
// ANCHOR_END: all
