// ANCHOR: all
//! Sends words to a child through one pipe and reads its answers from another.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use os_pipe::{PipeReader, PipeWriter};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "child" => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: pipes
    let (words_reader, words) = os_pipe::pipe()?;
    let (answers, answers_writer) = os_pipe::pipe()?;
    // ANCHOR_END: pipes

    // ANCHOR: command
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("child")
        .stdin(words_reader)
        .stdout(answers_writer);
    let mut child = command.spawn().context("cannot start the child")?;
    // The command holds the child's two ends and would keep them open.
    drop(command);
    // ANCHOR_END: command

    // ANCHOR: wait
    // Whatever went wrong: without its pipes the child ends.
    let outcome = talk(words, answers);
    match child.wait() {
        Ok(status) => {
            outcome.with_context(|| format!("child: {status}"))?;
            writeln!(io::stdout(), "child: {status}")?;
            ensure!(status.success(), "the child failed");
            Ok(())
        }
        Err(error) => {
            outcome.and(Err(error).context("cannot wait for the child"))
        }
    }
    // ANCHOR_END: wait
}

fn talk(mut words: PipeWriter, answers: PipeReader) -> Result<()> {
    let mut answers = BufReader::new(answers);
    let mut output = io::stdout();
    for word in ["fork", "exec", "wait"] {
        writeln!(words, "{word}").context("cannot send a word")?;
        let answer = receive(&mut answers)?;
        writeln!(output, "sent {word:?}, received {answer:?}")
            .context("cannot print")?;
    }
    drop(words);
    let answer = receive(&mut answers)?;
    writeln!(output, "closed the pipe, received {answer:?}")
        .context("cannot print")
}

fn receive(answers: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    answers
        .read_line(&mut line)
        .context("cannot receive an answer")?;
    ensure!(line.ends_with('\n'), "expected a line, received {line:?}");
    line.pop();
    Ok(line)
}

fn child() -> Result<()> {
    let mut answers = io::stdout().lock();
    let mut count = 0;
    for word in io::stdin().lines() {
        let word = word.context("cannot read a word")?;
        writeln!(answers, "{}", word.to_uppercase())?;
        answers.flush().context("cannot send an answer")?;
        count += 1;
    }
    writeln!(answers, "{count} words")?;
    answers.flush().context("cannot send the count")
}
// ANCHOR_END: all
