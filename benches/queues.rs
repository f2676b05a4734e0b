//! Messages of 64 bytes from four producers to four consumers.

use std::cell::Cell;
use std::env;
use std::io::{self, BufWriter, PipeReader, PipeWriter, Read, Write};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::report::{Row, python, times_faster};

mod broker {
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
    use std::mem;
    use std::os::fd::AsFd;
    use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread::{self, Builder};
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result, anyhow, bail, ensure};
    use crossbeam_channel::{Receiver, Sender, TryRecvError};
    use crossbeam_channel::{after, bounded, never, select, unbounded};
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    macro_rules! listing {
        ($anchor:literal) => {
            include!(concat!(
                env!("OUT_DIR"),
                "/communicating_with_queues/broker_with_credits/",
                $anchor,
                ".rs"
            ));
        };
    }

    listing!("credits");
    listing!("broker");
    listing!("dispatch");
    listing!("give");
    listing!("watch");
    listing!("serve_producer");
    listing!("follow");
    listing!("crew");
    listing!("read_lines");
    listing!("answer_all");

    /// The answers to all the messages.
    pub fn run(
        producers: Vec<Child>,
        consumers: Vec<Child>,
    ) -> Result<Vec<String>> {
        let outcome = broker(Crew(producers), Crew(consumers))?;
        for end in outcome.producers.into_iter().chain(outcome.consumers) {
            ensure!(end?.success(), "a process failed");
        }
        ensure!(outcome.returned == 0, "a consumer did not answer");
        ensure!(outcome.set_aside.is_empty(), "a message was set aside");
        ensure!(outcome.unanswered.is_empty(), "a message is unanswered");
        ensure!(
            outcome.accepted == outcome.answers.len(),
            "lost, or doubled"
        );
        Ok(outcome.answers)
    }

    pub fn answer(answer: impl Fn(&str) -> String) -> Result<()> {
        answer_all(answer)
    }
}

mod records {
    use std::io::{Read, Write};
    use std::thread;

    use anyhow::{Context, Result, ensure};
    #[cfg(target_os = "linux")]
    use nix::fcntl::{FcntlArg, fcntl};
    use os_pipe::{PipeReader, PipeWriter};

    macro_rules! listing {
        ($anchor:literal) => {
            include!(concat!(
                env!("OUT_DIR"),
                "/communicating_with_queues/fixed_records/",
                $anchor,
                ".rs"
            ));
        };
    }

    listing!("record");
    listing!("queue");
    listing!("send");

    pub const EMPTY: Record = [0; RECORD];
    pub const BATCH: usize = PIPE_BUF / RECORD;

    pub fn make() -> Result<(PipeReader, PipeWriter)> {
        queue()
    }

    pub fn put(queue: &mut impl Write, records: &[Record]) -> Result<()> {
        send(queue, records)
    }

    pub fn take<'a>(
        queue: &mut impl Read,
        records: &'a mut [Record],
    ) -> Result<&'a [Record]> {
        receive(queue, records)
    }
}

const PRODUCERS: u64 = 4;
const CONSUMERS: u64 = 4;
const MESSAGE: usize = 64;

pub fn rows() -> Vec<Row> {
    // What a message takes a consumer when all are equally fast; measured
    // when it is first needed, so that rows can be run alone.
    let normal = Rc::new(Cell::new(None));
    let slow = move || {
        let normal_time = match normal.get() {
            Some(time) => time,
            None => {
                let time = broker_time(400_000, Duration::ZERO)?;
                normal.set(Some(time));
                time
            }
        };
        let per_consumer = normal_time * CONSUMERS as u32;
        broker_time(400_000, per_consumer * 99)
    };
    vec![
        Row {
            name: "queue_broker",
            work: "4 producers, 4 consumers, 64 bytes, the broker with \
                   credits; Queue",
            reach: 8.0,
            rounds: 11,
            ours: Box::new(|| broker_time(400_000, Duration::ZERO)),
            rival: python("queue_of_messages.py", &["40000"], 40_000),
            ratio: times_faster,
        },
        Row {
            name: "queue_slow_consumer",
            work: "the same with one consumer 100 times slower; all equal. \
                   Lower is better",
            reach: 3.0,
            rounds: 11,
            ours: Box::new(slow),
            rival: Box::new(|| broker_time(400_000, Duration::ZERO)),
            ratio: |ours, rival| times_faster(rival, ours),
        },
        Row {
            name: "queue_records",
            work: "4 producers, 4 consumers, records of 64 bytes on one \
                   pipe, one write each; Queue",
            reach: 14.0,
            rounds: 11,
            ours: Box::new(|| records_time(400_000, 1, records::BATCH)),
            rival: python("queue_of_messages.py", &["40000"], 40_000),
            ratio: times_faster,
        },
        Row {
            name: "queue_fastest",
            work: "the same, as many records in a write as are never mixed; \
                   Queue",
            reach: 100.0,
            rounds: 11,
            ours: Box::new(|| {
                let batch = records::BATCH;
                records_time(8_000_000, batch as u64, 16 * batch)
            }),
            rival: python("queue_of_messages.py", &["40000"], 40_000),
            ratio: times_faster,
        },
    ]
}

pub fn play(role: &str, args: &[String]) -> Result<()> {
    let numbers = args.iter().map(|it| it.parse());
    let numbers = numbers.collect::<Result<Vec<u64>, _>>()?;
    match (role, numbers.as_slice()) {
        ("broker_producer", &[first, count]) => {
            wait_for_go()?;
            let mut queue = BufWriter::new(os_pipe::dup_stdout()?);
            for number in first..first + count {
                let width = MESSAGE - 1;
                writeln!(queue, "{number:width$}")?;
            }
            Ok(queue.flush()?)
        }
        ("broker_consumer", &[nanoseconds]) => {
            say_ready();
            broker::answer(|message| {
                if nanoseconds > 0 {
                    thread::sleep(Duration::from_nanos(nanoseconds));
                }
                message.trim_start().to_owned()
            })
        }
        ("records_producer", &[first, count, batch]) => {
            let mut queue = os_pipe::dup_stdout()?;
            let mut records = vec![records::EMPTY; batch as usize];
            wait_for_go()?;
            for number in (first..first + count).step_by(batch as usize) {
                for (number, record) in (number..).zip(&mut records) {
                    record[..8].copy_from_slice(&number.to_le_bytes());
                }
                records::put(&mut queue, &records)?;
            }
            Ok(())
        }
        ("records_consumer", &[at_most]) => {
            let mut queue = os_pipe::dup_stdin()?;
            // Whatever is there, so nobody waits for a batch to fill.
            let mut records = vec![records::EMPTY; at_most as usize];
            let mut seen = Seen::default();
            say_ready();
            loop {
                let records = records::take(&mut queue, &mut records)?;
                if records.is_empty() {
                    break;
                }
                for record in records {
                    let number = record.first_chunk().context("too short")?;
                    seen.add(u64::from_le_bytes(*number));
                }
            }
            println!("{} {} {}", seen.count, seen.sum, seen.squares);
            Ok(())
        }
        _ => bail!("unknown role {role:?} with {} arguments", args.len()),
    }
}

/// The parent waits for a byte of each child on their standard error.
fn say_ready() {
    eprint!("r");
}

fn wait_for_go() -> Result<()> {
    say_ready();
    io::read_to_string(io::stdin())?;
    Ok(())
}

/// Numbers, no matter in which order and by whom they were seen. The squares
/// give away a number that is missing in favor of another.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    count: u64,
    sum: u64,
    squares: u64,
}

impl Seen {
    fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum += number;
        self.squares = self.squares.wrapping_add(number.wrapping_mul(number));
    }

    fn all(count: u64) -> Seen {
        let mut seen = Seen::default();
        (0..count).for_each(|number| seen.add(number));
        seen
    }
}

/// Starts the children of one run, and knows when all of them are ready.
struct Crew {
    ready: PipeReader,
    errors: Option<PipeWriter>,
    size: usize,
}

impl Crew {
    fn new() -> Result<Crew> {
        let (ready, errors) = io::pipe()?;
        Ok(Crew {
            ready,
            errors: Some(errors),
            size: 0,
        })
    }

    fn start(
        &mut self,
        role: &str,
        args: &[u64],
        input: impl Into<Stdio>,
        output: impl Into<Stdio>,
    ) -> Result<Child> {
        let errors = self.errors.as_ref().context("all have started")?;
        self.size += 1;
        Command::new(env::current_exe()?)
            .arg(format!("role:queues:{role}"))
            .args(args.iter().map(u64::to_string))
            .stdin(input)
            .stdout(output)
            .stderr(errors.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start a {role}"))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        self.errors = None;
        let mut bytes = vec![0; self.size];
        self.ready.read_exact(&mut bytes)?;
        let said = String::from_utf8_lossy(&bytes);
        ensure!(bytes.iter().all(|&byte| byte == b'r'), "{said}…");
        Ok(())
    }

    /// After the children's end: what they said besides.
    fn complaints(mut self) -> Result<()> {
        let mut said = String::new();
        self.ready.read_to_string(&mut said)?;
        ensure!(said.is_empty(), "{said}");
        Ok(())
    }
}

/// Time per message; the last consumer takes `delay` more for each of its.
fn broker_time(count: u64, delay: Duration) -> Result<Duration> {
    let share = count / PRODUCERS;
    let mut crew = Crew::new()?;
    let (mut producers, mut consumers) = (Vec::new(), Vec::new());
    for number in 0..PRODUCERS {
        let args = [number * share, share];
        producers.push(crew.start(
            "broker_producer",
            &args,
            Stdio::piped(),
            Stdio::piped(),
        )?);
    }
    for number in 1..=CONSUMERS {
        let delay = if number == CONSUMERS {
            u64::try_from(delay.as_nanos())?
        } else {
            0
        };
        consumers.push(crew.start(
            "broker_consumer",
            &[delay],
            Stdio::piped(),
            Stdio::piped(),
        )?);
    }
    crew.wait_until_ready()?;
    let began = Instant::now();
    for producer in &mut producers {
        producer.stdin = None;
    }
    let answers = broker::run(producers, consumers);
    let took = began.elapsed();
    crew.complaints()?;
    let mut seen = Seen::default();
    for answer in answers? {
        seen.add(answer.parse()?);
    }
    ensure!(seen == Seen::all(count), "not all messages: {seen:?}");
    Ok(took / u32::try_from(count)?)
}

/// Time per record, if producers send batches and a consumer takes at most
/// that many of the records that are there.
fn records_time(count: u64, batch: u64, at_most: usize) -> Result<Duration> {
    let share = count / PRODUCERS;
    let count = share * PRODUCERS;
    ensure!(share.is_multiple_of(batch), "producers send whole batches");
    let mut crew = Crew::new()?;
    let (reader, writer) = records::make()?;
    let mut children = Vec::new();
    for number in 0..PRODUCERS {
        let args = [number * share, share, batch];
        let output = writer.try_clone()?;
        children.push(crew.start(
            "records_producer",
            &args,
            Stdio::piped(),
            output,
        )?);
    }
    let (mut reports, reporter) = io::pipe()?;
    for _ in 0..CONSUMERS {
        children.push(crew.start(
            "records_consumer",
            &[at_most as u64],
            reader.try_clone()?,
            reporter.try_clone()?,
        )?);
    }
    drop((reader, writer, reporter));
    crew.wait_until_ready()?;
    let began = Instant::now();
    for child in &mut children {
        child.stdin = None;
    }
    let mut report = String::new();
    reports.read_to_string(&mut report)?;
    let took = began.elapsed();
    for mut child in children {
        child.wait()?;
    }
    crew.complaints()?;
    let mut seen = Seen::default();
    for line in report.lines() {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next().context("too few numbers");
        seen.count += next()??;
        seen.sum += next()??;
        seen.squares = seen.squares.wrapping_add(next()??);
    }
    ensure!(seen == Seen::all(count), "not all messages: {seen:?}");
    Ok(took / u32::try_from(count)?)
}
