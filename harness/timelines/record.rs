//! What the processes of a program did to each other, made of a trace.
//!
//! Processes have names instead of numbers, and the order of the events is the
//! one that the program guarantees: what one process does is in its order, and
//! whatever is received comes after it was sent. Where nothing orders two
//! events, their order in the record says nothing; the second is marked free.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::{Context, Result};
use fixedbitset::FixedBitSet;

use crate::strace::{Line, What};

/// A process, by its place in [`Record::processes`].
pub type Process = usize;

/// A place in the life of a thread: something happens to it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub process: Process,
    /// A number for the thread.
    pub thread: i32,
    /// By place in the trace.
    pub place: usize,
}

/// In place of a thread: the process itself does and learns nothing.
pub const NOBODY: i32 = -1;

/// One event: somebody does something, mostly to somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub deed: Deed,
    /// Where it begins: at the sender, at the parent that starts a child.
    pub from: Moment,
    /// Where it arrives, if it concerns another process.
    pub to: Option<Moment>,
    /// The callers of the system calls at its beginning and at its end.
    pub stacks: [Vec<u64>; 2],
    /// The event that the kernel makes it follow, by place in the record.
    pub after: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `from` starts `to`. Whether it is a copy of `from`.
    Starts { forked: bool },
    /// What is written, as strace shows it.
    Sends(String),
    /// The last copy of the writing end is closed by a call, and `to` reads
    /// the end of file.
    Closes,
    /// The same, when the process ends.
    HangsUp,
    /// The name of the signal.
    Signals(String),
    /// `to` collects the exit status of `from`.
    IsReaped,
    /// `from` looks, and `to` has not ended.
    SeesAlive,
    /// `from` wakes `to`, which slept on a futex in shared memory.
    Wakes,
    /// `from` reads a pipe or socket that is empty, and need not wait. The
    /// names of those that could still write to it.
    FindsOpen(String),
    /// A read of `from` does not return for as long as the trace lasts. The
    /// names of those that could still write.
    Hangs(String),
    /// `from` waits for the end of `to` for as long as the trace lasts.
    WaitsInVain,
    /// The exit code, or the signal that killed it.
    Ends(Result<i32, String>),
    /// `from` becomes the parent of `to`.
    Adopts,
    /// Something for whoever started the program: standard output or error.
    Prints(String),
}

/// All that happened in one run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What each process is called: `main`, or its arguments, and a number if
    /// several have the same.
    pub processes: Vec<String>,
    pub events: Vec<Event>,
    /// Thread to the moment at which its process starts it.
    births: HashMap<i32, Moment>,
    before: OnceCell<Vec<FixedBitSet>>,
}

impl Record {
    /// The place of each event in the record's text.
    pub fn places(&self) -> Vec<usize> {
        let mut places = vec![0; self.events.len()];
        let order = self.order();
        for (place, event) in order.into_iter().enumerate() {
            places[event] = place;
        }
        places
    }

    /// The record as text, one event a line, each behind its `mark`. `line`
    /// finds the line of a listing for the callers of a system call.
    pub fn text(
        &self,
        line: impl Fn(&[u64]) -> Option<u32>,
        mark: impl Fn(usize) -> String,
    ) -> String {
        let mut text = String::new();
        let before = self.before();
        let order = self.order();
        for (place, &index) in order.iter().enumerate() {
            let event = &self.events[index];
            let free = place > 0 && !before[index].contains(order[place - 1]);
            let at = |stack: &[u64]| match line(stack) {
                Some(line) => format!(":{line}"),
                None => String::new(),
            };
            let name = |moment: &Moment| &self.processes[moment.process];
            let from = format!("{}{}", name(&event.from), at(&event.stacks[0]));
            let to = event.to.as_ref().map_or(String::new(), |to| {
                format!("{}{}", name(to), at(&event.stacks[1]))
            });
            let free = if free { "| " } else { "  " };
            let sentence = sentence(&event.deed, &from, &to);
            // Writing to a text does not fail.
            let _ = writeln!(text, "{}{free}{sentence}", mark(index));
        }
        text
    }

    /// The events in an order that depends on nothing but what the program
    /// guarantees.
    fn order(&self) -> Vec<usize> {
        let before = self.before();
        let key = |index: usize| {
            let from = self.events[index].from;
            (from.process, from.place, index)
        };
        let mut missing: Vec<usize> =
            before.iter().map(|it| it.count_ones(..)).collect();
        let mut ready: BTreeSet<_> = (0..missing.len())
            .filter(|&index| missing[index] == 0)
            .map(key)
            .collect();
        let mut order = Vec::new();
        while let Some((.., next)) = ready.pop_first() {
            order.push(next);
            for (index, before) in before.iter().enumerate() {
                if before.contains(next) {
                    missing[index] -= 1;
                    if missing[index] == 0 {
                        ready.insert(key(index));
                    }
                }
            }
        }
        order
    }

    /// Whether a moment in the life of a thread surely comes after another one
    /// of the same process: on the same thread, or on the one that started it.
    fn follows(&self, moment: Moment, earlier: Moment) -> bool {
        if moment.thread == earlier.thread {
            return earlier.place < moment.place;
        }
        let birth = self.births.get(&moment.thread);
        birth.is_some_and(|birth| self.follows(*birth, earlier))
    }

    /// Whether a process ends before this place.
    pub fn ends_before(&self, process: Process, place: usize) -> bool {
        self.events.iter().any(|it| {
            matches!(it.deed, Deed::Ends(_))
                && it.from.process == process
                && it.from.place < place
        })
    }

    /// Whether one side of an event comes before a side of another one in the
    /// same process.
    pub fn begins_before(&self, event: usize, other: usize) -> bool {
        let sides = |event: usize| {
            let Event { from, to, .. } = &self.events[event];
            let sides = [Some(*from), *to];
            sides.into_iter().flatten().filter(|it| it.thread != NOBODY)
        };
        sides(event).any(|a| {
            sides(other).any(|b| a.process == b.process && self.follows(b, a))
        })
    }

    /// For each event those that surely come before it.
    pub fn before(&self) -> &[FixedBitSet] {
        self.before.get_or_init(|| self.find_before())
    }

    fn find_before(&self) -> Vec<FixedBitSet> {
        let all = self.events.len();
        let moments = |event: &Event| [Some(event.from), event.to];
        let mut before = vec![FixedBitSet::with_capacity(all); all];
        for (index, event) in self.events.iter().enumerate() {
            for (other, earlier) in self.events.iter().enumerate() {
                let ordered = || {
                    moments(event).iter().flatten().any(|a| {
                        moments(earlier).iter().flatten().any(|b| {
                            a.process == b.process && self.follows(*a, *b)
                        })
                    })
                };
                if last(earlier) < last(event) && ordered() {
                    before[index].insert(other);
                }
            }
            before[index].extend(event.after);
        }
        // What comes before what comes before.
        let mut by_time: Vec<usize> = (0..all).collect();
        by_time.sort_by_key(|&index| last(&self.events[index]));
        for index in by_time {
            let direct: Vec<usize> = before[index].ones().collect();
            for earlier in direct {
                let further = before[earlier].clone();
                before[index].union_with(&further);
            }
        }
        before
    }
}

fn last(event: &Event) -> (usize, usize) {
    let to = event.to.map_or(0, |to| to.place);
    (event.from.place.max(to), event.from.place)
}

/// An event as a sentence of the record.
pub fn sentence(deed: &Deed, from: &str, to: &str) -> String {
    match deed {
        Deed::Starts { forked: false } => format!("{from} starts {to}"),
        Deed::Starts { forked: true } => format!("{from} forks {to}"),
        Deed::Sends(text) => format!("{from} sends \"{text}\" to {to}"),
        Deed::Closes => format!("{from} closes its end, end of file for {to}"),
        Deed::HangsUp => format!("{from} has ended, end of file for {to}"),
        Deed::Wakes => format!("{from} wakes {to}"),
        Deed::Signals(signal) => format!("{from} sends {signal} to {to}"),
        Deed::IsReaped => format!("{to} collects the status of {from}"),
        Deed::SeesAlive => format!("{from} sees that {to} has not ended"),
        Deed::FindsOpen(holders) => {
            format!(
                "{from} finds nothing to read and no end: {holders} can write"
            )
        }
        Deed::Hangs(holders) => {
            format!("{from} reads without end: {holders} can write")
        }
        Deed::WaitsInVain => format!("{from} waits without end for {to}"),
        Deed::Ends(Ok(code)) => format!("{from} exits with {code}"),
        Deed::Ends(Err(signal)) => format!("{from} dies of {signal}"),
        Deed::Adopts => format!("{from} adopts {to}"),
        Deed::Prints(text) => format!("{from} prints \"{text}\""),
    }
}

/// Makes a record of a trace.
///
/// # Errors
/// If a line cannot be understood.
pub fn of(lines: &[Line]) -> Result<Record> {
    let executes = |line: &Line| match &line.what {
        What::Call { name, result, .. }
            if name == "execve" && result == "0" =>
        {
            Some(line.tid)
        }
        _ => None,
    };
    let mut scene = Scene {
        executes: lines.iter().filter_map(executes).collect(),
        peers: lines.iter().flat_map(connected).collect(),
        ..Scene::default()
    };
    for (place, line) in lines.iter().enumerate() {
        scene
            .see(place, line)
            .with_context(|| format!("cannot understand {line:?}"))?;
    }
    Ok(scene.finish())
}

/// The sockets that a line shows as connected, both ways.
fn connected(line: &Line) -> Vec<(String, String)> {
    let What::Call {
        arguments, result, ..
    } = &line.what
    else {
        return Vec::new();
    };
    let all = [arguments, result]
        .into_iter()
        .flat_map(|it| descriptors(it));
    all.filter_map(|(_, name)| {
        let (own, peer) = peers(&name)?;
        Some((own.to_owned(), peer?.to_owned()))
    })
    .flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)])
    .collect()
}

/// A descriptor that is one end of a pipe or a socket, or a copy.
#[derive(Clone, Debug)]
struct End {
    /// The channels that it reads and writes: a pipe's number, or a socket's
    /// two.
    reads: Option<String>,
    writes: Option<String>,
    close_on_exec: bool,
}

/// One way from process to process.
#[derive(Default)]
struct Channel {
    /// What has been written and not read: who wrote it, what, up to which
    /// byte.
    sent: Vec<(Moment, Vec<u64>, String, u64)>,
    written: u64,
    read: u64,
    /// Who has closed the last writing end, and whether by its own end.
    closed: Option<(Moment, Vec<u64>, bool)>,
    /// Who has read the end of file before its cause was seen: the kernel
    /// closes what a killed process had before it tells of the death.
    early: Option<(Moment, Vec<u64>)>,
    told: BTreeSet<Process>,
}

impl Channel {
    /// Somebody reads the end of file, for the first time.
    fn tell(
        &mut self,
        (who, how, at_exit): (Moment, Vec<u64>, bool),
        (reader, stack): (Moment, Vec<u64>),
    ) -> Option<Event> {
        let first = self.told.insert(reader.process);
        (first && who.process != reader.process).then_some(Event {
            deed: match at_exit {
                true => Deed::HangsUp,
                false => Deed::Closes,
            },
            from: who,
            to: Some(reader),
            stacks: [how, stack],
            after: None,
        })
    }
}

#[derive(Default)]
struct Member {
    parent: Option<Process>,
    threads: BTreeSet<i32>,
    ends: HashMap<i32, End>,
    shared: Vec<Shared>,
    has_ended: bool,
    subreaper: bool,
    /// Its arguments, once it has executed a program.
    role: Option<String>,
    pid: i32,
}

/// Memory that a process has mapped and may share.
#[derive(Clone)]
struct Shared {
    start: u64,
    /// In bytes.
    length: u64,
    /// The same for all who share it.
    what: String,
}

#[derive(Default)]
struct Scene {
    members: Vec<Member>,
    /// Thread to process.
    of_thread: HashMap<i32, Process>,
    channels: BTreeMap<String, Channel>,
    signals: Vec<(Moment, Vec<u64>, i32, String)>,
    /// Where each process has ended, and the event.
    ended: HashMap<Process, (Moment, usize)>,
    events: Vec<Event>,
    /// The last wake-up of each futex: who, how, and how many it woke that
    /// have not been seen to go on.
    wakes: HashMap<String, (Moment, Vec<u64>, i64)>,
    /// Socket to socket. Who waits in a call is shown as it was when the call
    /// began, and that may have been before the connection was accepted.
    peers: HashMap<String, String>,
    /// Thread to the moment at which its process starts it.
    births: HashMap<i32, Moment>,
    /// Who executes a program, sooner or later.
    executes: BTreeSet<i32>,
    /// The callers of each thread's last change of its signal mask.
    masked: HashMap<i32, Vec<u64>>,
    /// Reads in vain, by place in `events`, and who could have written.
    waits: Vec<(usize, Vec<Process>)>,
}

impl Scene {
    fn see(&mut self, place: usize, line: &Line) -> Result<()> {
        if self.members.is_empty() {
            self.members.push(Member {
                threads: BTreeSet::from([line.tid]),
                pid: line.tid,
                ..Member::default()
            });
            self.of_thread.insert(line.tid, 0);
        }
        let process = self.of_thread.get(&line.tid);
        let process = *process.context("nobody has started this thread")?;
        let here = Moment {
            process,
            thread: line.tid,
            place,
        };
        match &line.what {
            What::Call {
                name,
                arguments,
                result,
                stack,
            } => self.call(here, name, arguments, result, stack),
            What::Signal { name, sender } => {
                self.signal(here, name, *sender);
                Ok(())
            }
            What::Exited(code) => {
                self.thread_ends(here, Ok(*code));
                Ok(())
            }
            What::Killed(signal) => {
                self.thread_ends(here, Err(signal.clone()));
                Ok(())
            }
            What::Hangs { name, arguments } => {
                self.hangs(here, name, arguments)
            }
        }
    }

    fn call(
        &mut self,
        here: Moment,
        name: &str,
        arguments: &str,
        result: &str,
        stack: &[u64],
    ) -> Result<()> {
        let number: Option<i64> = leading_number(result);
        if name == "read" && result.contains("EAGAIN") {
            let holders = self.holders(here.process, arguments)?;
            if let Some(holders) = holders {
                self.waits.push((self.events.len(), holders));
                self.events.push(Event {
                    deed: Deed::FindsOpen(String::new()),
                    from: here,
                    to: None,
                    stacks: [stack.to_vec(), Vec::new()],
                    after: None,
                });
            }
        }
        let Some(number) = number.filter(|&number| number >= 0) else {
            return Ok(());
        };
        let process = here.process;
        match name {
            "execve" => {
                let words = strings(arguments);
                let parent = self.members[process].parent;
                let parent = parent.map(|it| self.members[it].pid.to_string());
                let member = &mut self.members[process];
                member.ends.retain(|_, end| !end.close_on_exec);
                member.shared.clear();
                // The first is the program, the second its own name. Where a
                // file lies, and the parent's number, differ from run to run.
                let path = words.first().map_or("", String::as_str);
                let base = path.rsplit('/').next().unwrap_or(path);
                let rest = words.get(2..).unwrap_or_default();
                let rest: Vec<&str> = rest
                    .iter()
                    .map(String::as_str)
                    .filter(|word| !word.starts_with('/'))
                    .filter(|word| parent.as_deref() != Some(word))
                    .collect();
                let rest = rest.join(" ");
                member.role = Some(match (process, rest.is_empty()) {
                    (0, _) => "main".to_owned(),
                    (_, true) => base.to_owned(),
                    (_, false) => rest,
                });
                self.look_for_ends(here, stack, false);
            }
            "rt_sigprocmask" => {
                self.masked.insert(here.thread, stack.to_vec());
            }
            "clone" | "clone3" | "fork" | "vfork" => {
                let child = i32::try_from(number)?;
                let masked = self.masked.get(&here.thread).cloned();
                let stack = match stack.is_empty() {
                    true => masked.unwrap_or_default(),
                    false => stack.to_vec(),
                };
                self.start(here, name, arguments, child, &stack);
            }
            "pipe2" => {
                let ends = descriptors(arguments);
                if let [(reader, pipe), (writer, _)] = ends.as_slice() {
                    let close_on_exec = arguments.contains("O_CLOEXEC");
                    let table = &mut self.members[process].ends;
                    let end = |reads, writes| End {
                        reads,
                        writes,
                        close_on_exec,
                    };
                    table.insert(*reader, end(Some(pipe.clone()), None));
                    table.insert(*writer, end(None, Some(pipe.clone())));
                    self.channels.entry(pipe.clone()).or_default();
                }
            }
            "socketpair" => {
                let ends = descriptors(arguments);
                if let [(first, one), (second, _)] = ends.as_slice()
                    && let Some((a, Some(b))) = peers(one)
                {
                    let (one, other) =
                        (&format!("{a}->{b}"), &format!("{b}->{a}"));
                    let close_on_exec = arguments.contains("SOCK_CLOEXEC");
                    let table = &mut self.members[process].ends;
                    for (number, reads, writes) in
                        [(first, other, one), (second, one, other)]
                    {
                        table.insert(
                            *number,
                            End {
                                reads: Some(reads.clone()),
                                writes: Some(writes.clone()),
                                close_on_exec,
                            },
                        );
                    }
                    for channel in [one, other] {
                        self.channels.entry(channel.clone()).or_default();
                    }
                }
            }
            "accept4" => self.know(here.process, result),
            "dup" | "dup2" | "dup3" => {
                let old = leading_number(arguments).unwrap_or(-1);
                let old = i32::try_from(old)?;
                let flag = arguments.contains("O_CLOEXEC");
                self.copy(here, old, i32::try_from(number)?, flag, stack);
            }
            "fcntl" => {
                let old = leading_number(arguments).unwrap_or(-1);
                let old = i32::try_from(old)?;
                if arguments.contains("F_DUPFD") {
                    let flag = arguments.contains("F_DUPFD_CLOEXEC");
                    self.copy(here, old, i32::try_from(number)?, flag, stack);
                } else if arguments.contains("F_SETFD") {
                    let end = self.members[process].ends.get_mut(&old);
                    if let Some(end) = end {
                        end.close_on_exec = arguments.contains("FD_CLOEXEC");
                    }
                }
            }
            "mmap" if arguments.contains("MAP_SHARED") => {
                self.map(here, arguments, result);
            }
            "futex" if !arguments.contains("PRIVATE") => {
                self.futex(here, arguments, number, stack);
            }
            "close" => {
                let old = leading_number(arguments).unwrap_or(-1);
                self.members[process].ends.remove(&i32::try_from(old)?);
                self.look_for_ends(here, stack, false);
            }
            "close_range" => {
                let mut numbers = arguments.split(", ");
                let mut next = || numbers.next().and_then(leading_number);
                let (first, last) = (next().unwrap_or(0), next());
                let last = last.unwrap_or(i64::MAX);
                if !arguments.contains("CLOSE_RANGE_CLOEXEC") {
                    let inside =
                        |it: &i32| (first..=last).contains(&i64::from(*it));
                    self.members[process].ends.retain(|it, _| !inside(it));
                    self.look_for_ends(here, stack, false);
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                self.write(here, arguments, number.unsigned_abs(), stack)?;
            }
            "read" | "readv" | "recvfrom" | "recvmsg" => {
                self.read(here, arguments, number.unsigned_abs(), stack)?;
            }
            "kill" | "tgkill" | "pidfd_send_signal" => {
                let signal = arguments
                    .split([',', ' '])
                    .find(|it| it.starts_with("SIG"));
                let target = match name {
                    "pidfd_send_signal" => arguments
                        .split_once("<pid:")
                        .and_then(|(_, pid)| leading_number(pid)),
                    _ => leading_number(arguments),
                };
                if let (Some(signal), Some(target)) = (signal, target) {
                    self.signals.push((
                        here,
                        stack.to_vec(),
                        i32::try_from(target)?,
                        signal.to_owned(),
                    ));
                }
            }
            "wait4" => {
                let child = i32::try_from(number)?;
                let asked = leading_number(arguments).unwrap_or(-1);
                if child > 0 {
                    self.collect(here, child, stack);
                } else if arguments.contains("WNOHANG") {
                    self.look(here, i32::try_from(asked)?, stack);
                }
            }
            "waitid" => {
                let child = arguments
                    .split_once("si_pid=")
                    .and_then(|(_, pid)| leading_number(pid))
                    .unwrap_or(0);
                let child = i32::try_from(child)?;
                let keeps = arguments.contains("WNOWAIT");
                if child > 0 && !keeps {
                    self.collect(here, child, stack);
                } else if child == 0 && arguments.contains("WNOHANG") {
                    let asked = arguments
                        .split(", ")
                        .nth(1)
                        .and_then(leading_number)
                        .unwrap_or(-1);
                    self.look(here, i32::try_from(asked)?, stack);
                }
            }
            "prctl" if arguments.starts_with("PR_SET_CHILD_SUBREAPER") => {
                self.members[process].subreaper = !arguments.ends_with(", 0");
            }
            _ => {}
        }
        Ok(())
    }

    fn start(
        &mut self,
        here: Moment,
        name: &str,
        arguments: &str,
        tid: i32,
        stack: &[u64],
    ) {
        let process = here.process;
        if arguments.contains("CLONE_THREAD") {
            self.members[process].threads.insert(tid);
            self.of_thread.insert(tid, process);
            self.births.insert(tid, here);
        } else {
            let child = self.members.len();
            self.members.push(Member {
                parent: Some(process),
                threads: BTreeSet::from([tid]),
                ends: self.members[process].ends.clone(),
                shared: self.members[process].shared.clone(),
                pid: tid,
                ..Member::default()
            });
            self.of_thread.insert(tid, child);
            let forked = name == "fork" || !arguments.contains("CLONE_VFORK");
            self.events.push(Event {
                deed: Deed::Starts { forked },
                from: here,
                to: Some(Moment {
                    process: child,
                    thread: tid,
                    place: here.place,
                }),
                stacks: [stack.to_vec(), Vec::new()],
                after: None,
            });
        }
    }

    /// Learns of a connection to a named socket when it is first used:
    /// `5<UNIX-STREAM:[8->9,"/a/path"]>`.
    fn know(&mut self, process: Process, call: &str) {
        let socket = descriptors(call).into_iter().next();
        let Some((number, name)) = socket else { return };
        if self.members[process].ends.contains_key(&number) {
            return;
        }
        let Some((own, peer)) = peers(&name) else {
            return;
        };
        let known = self.peers.get(own).map(String::as_str);
        let Some(peer) = peer.or(known).map(str::to_owned) else {
            return;
        };
        let (reads, writes) =
            (format!("{peer}->{own}"), format!("{own}->{peer}"));
        for channel in [&reads, &writes] {
            self.channels.entry(channel.clone()).or_default();
        }
        self.members[process].ends.insert(
            number,
            End {
                reads: Some(reads),
                writes: Some(writes),
                close_on_exec: true,
            },
        );
    }

    fn copy(
        &mut self,
        here: Moment,
        old: i32,
        new: i32,
        close_on_exec: bool,
        stack: &[u64],
    ) {
        let table = &mut self.members[here.process].ends;
        match table.get(&old).cloned() {
            Some(end) => table.insert(
                new,
                End {
                    close_on_exec,
                    ..end
                },
            ),
            None => table.remove(&new),
        };
        self.look_for_ends(here, stack, false);
    }

    /// Notes the channels whose last writing end has just been closed.
    fn look_for_ends(&mut self, here: Moment, stack: &[u64], at_exit: bool) {
        let open: BTreeSet<&String> = self
            .members
            .iter()
            .filter(|member| !member.has_ended)
            .flat_map(|member| {
                // What a child is about to close by executing its program is
                // nothing that it holds.
                let is_new = member.role.is_none();
                let leaves = is_new && self.executes.contains(&member.pid);
                let ends = member.ends.values();
                ends.filter(move |end| !(leaves && end.close_on_exec))
            })
            .filter_map(|end| end.writes.as_ref())
            .collect();
        for (name, channel) in &mut self.channels {
            if channel.closed.is_none() && !open.contains(name) {
                let cause = (here, stack.to_vec(), at_exit);
                if let Some(reader) = channel.early.take() {
                    self.events.extend(channel.tell(cause.clone(), reader));
                }
                channel.closed = Some(cause);
            }
        }
    }

    /// The descriptor that is a call's first argument, and what it is.
    fn first_end(
        &mut self,
        process: Process,
        arguments: &str,
    ) -> Result<(i32, Option<End>)> {
        self.know(process, arguments);
        let number = leading_number(arguments).unwrap_or(-1);
        let number = i32::try_from(number)?;
        Ok((number, self.members[process].ends.get(&number).cloned()))
    }

    fn write(
        &mut self,
        here: Moment,
        arguments: &str,
        count: u64,
        stack: &[u64],
    ) -> Result<()> {
        let (number, end) = self.first_end(here.process, arguments)?;
        let text = strings(arguments).join("");
        let channel = end.and_then(|end| end.writes);
        match channel.and_then(|name| self.channels.get_mut(&name)) {
            Some(channel) => {
                channel.written += count;
                let up_to = channel.written;
                channel.sent.push((here, stack.to_vec(), text, up_to));
            }
            None if number == 1 || number == 2 => self.events.push(Event {
                deed: Deed::Prints(text),
                from: here,
                to: None,
                stacks: [stack.to_vec(), Vec::new()],
                after: None,
            }),
            None => {}
        }
        Ok(())
    }

    fn read(
        &mut self,
        here: Moment,
        arguments: &str,
        count: u64,
        stack: &[u64],
    ) -> Result<()> {
        let (_, end) = self.first_end(here.process, arguments)?;
        let name = end.and_then(|end| end.reads);
        let Some(channel) = name.and_then(|it| self.channels.get_mut(&it))
        else {
            return Ok(());
        };
        if count == 0 {
            let reader = (here, stack.to_vec());
            match channel.closed.clone() {
                Some(cause) => self.events.extend(channel.tell(cause, reader)),
                None => channel.early = Some(reader),
            }
            return Ok(());
        }
        channel.read += count;
        let read = channel.read;
        let arrived: Vec<_> =
            channel.sent.extract_if(.., |it| it.3 <= read).collect();
        for (who, how, text, _) in arrived {
            if who.process != here.process {
                self.events.push(Event {
                    deed: Deed::Sends(text),
                    from: who,
                    to: Some(here),
                    stacks: [how, stack.to_vec()],
                    after: None,
                });
            }
        }
        Ok(())
    }

    /// Memory that others may share: a file's, or what copies inherit.
    fn map(&mut self, here: Moment, arguments: &str, result: &str) {
        let address = result.strip_prefix("0x").unwrap_or_default();
        let Ok(start) = u64::from_str_radix(address, 16) else {
            return;
        };
        let length = arguments.split(", ").nth(1);
        let length = length.and_then(leading_number).unwrap_or(0);
        let file = arguments.split_once('<').map(|(_, it)| it.to_owned());
        self.members[here.process].shared.push(Shared {
            start,
            // The kernel maps whole pages.
            length: length.unsigned_abs().next_multiple_of(4096),
            // Without a file it is this mapping, and its copies.
            what: file.unwrap_or_else(|| format!("{} {start}", here.place)),
        });
    }

    fn futex(
        &mut self,
        here: Moment,
        arguments: &str,
        result: i64,
        stack: &[u64],
    ) {
        let address = arguments.split([',', '<']).next().unwrap_or_default();
        let address = address.strip_prefix("0x").unwrap_or_default();
        let Ok(address) = u64::from_str_radix(address, 16) else {
            return;
        };
        let mappings = self.members[here.process].shared.iter().rev();
        let mapping = mappings
            .clone()
            .find(|it| (it.start..it.start + it.length).contains(&address));
        let Some(mapping) = mapping else { return };
        let what = format!("{} {}", mapping.what, address - mapping.start);
        if arguments.contains("FUTEX_WAKE") {
            let wake = (here, stack.to_vec(), result);
            self.wakes.insert(what, wake);
            return;
        }
        let Some((who, how, left)) = self.wakes.get_mut(&what) else {
            return;
        };
        if *left > 0 && who.process != here.process {
            *left -= 1;
            self.events.push(Event {
                deed: Deed::Wakes,
                from: *who,
                to: Some(here),
                stacks: [how.clone(), stack.to_vec()],
                after: None,
            });
        }
    }

    /// Who could write what this call reads, if it reads a pipe or a socket.
    fn holders(
        &mut self,
        process: Process,
        arguments: &str,
    ) -> Result<Option<Vec<Process>>> {
        let (_, end) = self.first_end(process, arguments)?;
        let Some(channel) = end.and_then(|end| end.reads) else {
            return Ok(None);
        };
        let has_it = |member: &Member| {
            !member.has_ended
                && member
                    .ends
                    .values()
                    .any(|end| end.writes.as_ref() == Some(&channel))
        };
        let all = 0..self.members.len();
        Ok(Some(all.filter(|&it| has_it(&self.members[it])).collect()))
    }

    fn hangs(
        &mut self,
        here: Moment,
        name: &str,
        arguments: &str,
    ) -> Result<()> {
        let mut event = Event {
            deed: Deed::Hangs(String::new()),
            from: here,
            to: None,
            stacks: [Vec::new(), Vec::new()],
            after: None,
        };
        match name {
            "read" | "readv" | "recvfrom" | "recvmsg" => {
                let holders = self.holders(here.process, arguments)?;
                if let Some(holders) = holders {
                    self.waits.push((self.events.len(), holders));
                    self.events.push(event);
                }
            }
            "wait4" | "waitid" => {
                let mut numbers = arguments.split(", ");
                let first = match name {
                    "wait4" => numbers.next(),
                    _ => numbers.nth(1),
                };
                let pid = first.and_then(leading_number).unwrap_or(-1);
                let child = self.process_of(i32::try_from(pid)?);
                if let Some(process) = child {
                    event.deed = Deed::WaitsInVain;
                    event.to = Some(Moment {
                        process,
                        thread: NOBODY,
                        place: here.place,
                    });
                    self.events.push(event);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn process_of(&self, pid: i32) -> Option<Process> {
        self.members.iter().rposition(|member| member.pid == pid)
    }

    fn signal(&mut self, here: Moment, name: &str, sender: Option<i32>) {
        let pid = self.members[here.process].pid;
        let sent = self.signals.iter().position(|(who, _, target, signal)| {
            signal == name
                && (*target == pid || *target < 0 || *target == here.thread)
                && sender == Some(self.members[who.process].pid)
        });
        let Some(sent) = sent else {
            return;
        };
        let (who, how, target, signal) = self.signals[sent].clone();
        if target >= 0 {
            self.signals.remove(sent);
        }
        if who.process != here.process {
            self.events.push(Event {
                deed: Deed::Signals(signal),
                from: who,
                to: Some(here),
                stacks: [how, Vec::new()],
                after: None,
            });
        }
    }

    fn thread_ends(&mut self, here: Moment, end: Result<i32, String>) {
        let process = here.process;
        self.members[process].threads.remove(&here.thread);
        if !self.members[process].threads.is_empty() {
            return;
        }
        let mut killed = None;
        if let Err(signal) = &end {
            let pid = self.members[process].pid;
            // SIGKILL is never received; it ends the process.
            let sent = self.signals.iter().position(|(_, _, target, name)| {
                name == signal && *target == pid
            });
            if let Some(sent) = sent {
                let (who, how, ..) = self.signals.remove(sent);
                killed = Some(self.events.len());
                self.events.push(Event {
                    deed: Deed::Signals(signal.clone()),
                    from: who,
                    to: Some(here),
                    stacks: [how, Vec::new()],
                    after: None,
                });
            }
        }
        let ends = self.events.len();
        self.events.push(Event {
            deed: Deed::Ends(end),
            from: here,
            to: None,
            stacks: [Vec::new(), Vec::new()],
            after: killed,
        });
        self.members[process].has_ended = true;
        self.members[process].ends.clear();
        self.ended.insert(process, (here, ends));
        self.look_for_ends(here, &[], true);
        let mut heir = self.members[process].parent;
        while let Some(candidate) = heir {
            let member = &self.members[candidate];
            if !member.has_ended && member.subreaper {
                break;
            }
            heir = member.parent;
        }
        for child in 0..self.members.len() {
            let member = &mut self.members[child];
            if member.parent == Some(process) && !member.has_ended {
                member.parent = heir;
                if let Some(heir) = heir {
                    self.events.push(Event {
                        deed: Deed::Adopts,
                        // Neither of them does anything.
                        from: Moment {
                            process: heir,
                            thread: NOBODY,
                            place: here.place,
                        },
                        to: Some(Moment {
                            process: child,
                            thread: NOBODY,
                            place: here.place,
                        }),
                        stacks: [Vec::new(), Vec::new()],
                        after: Some(ends),
                    });
                }
            }
        }
    }

    fn collect(&mut self, here: Moment, pid: i32, stack: &[u64]) {
        let child = self.process_of(pid);
        let Some(child) = child else {
            return;
        };
        let Some(&(end, ends)) = self.ended.get(&child) else {
            return;
        };
        self.events.push(Event {
            deed: Deed::IsReaped,
            from: end,
            to: Some(here),
            stacks: [Vec::new(), stack.to_vec()],
            after: Some(ends),
        });
    }

    fn look(&mut self, here: Moment, pid: i32, stack: &[u64]) {
        let Some(child) = self.process_of(pid) else {
            return;
        };
        self.events.push(Event {
            deed: Deed::SeesAlive,
            from: here,
            // Nothing reaches the child.
            to: Some(Moment {
                process: child,
                thread: NOBODY,
                place: here.place,
            }),
            stacks: [stack.to_vec(), Vec::new()],
            after: None,
        });
    }

    fn finish(mut self) -> Record {
        let roles: Vec<String> = self
            .members
            .iter()
            .map(|member| match (&member.role, member.parent) {
                (Some(role), _) => role.clone(),
                (None, _) => "a copy".to_owned(),
            })
            .collect();
        let mut seen: HashMap<&String, usize> = HashMap::new();
        let several: BTreeSet<&String> = roles
            .iter()
            .filter(|role| roles.iter().filter(|it| it == role).count() > 1)
            .collect();
        let processes: Vec<String> = roles
            .iter()
            .map(|role| {
                let number = seen.entry(role).or_default();
                *number += 1;
                match several.contains(role) {
                    true => format!("{role} #{number}"),
                    false => role.clone(),
                }
            })
            .collect();
        for (event, holders) in self.waits {
            let names: Vec<&str> =
                holders.iter().map(|&it| processes[it].as_str()).collect();
            let holders = match names.as_slice() {
                [] => "nobody".to_owned(),
                names => names.join(" and "),
            };
            match &mut self.events[event].deed {
                Deed::FindsOpen(who) | Deed::Hangs(who) => *who = holders,
                _ => {}
            }
        }
        Record {
            processes,
            events: self.events,
            births: self.births,
            before: OnceCell::new(),
        }
    }
}

/// The number at the beginning of `6`, `5<pipe:[9]>`, `-1 EINTR (…)`.
fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|it: char| !it.is_ascii_digit());
    let end = end.unwrap_or(digits.len()) + (text.len() - digits.len());
    text[..end].parse().ok()
}

/// Each descriptor with what it is: `[3<pipe:[9]>, 4<pipe:[9]>]`.
fn descriptors(arguments: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while let Some(at) = rest.find(['<']) {
        let before = &rest[..at];
        let start = before
            .rfind(|it: char| !it.is_ascii_digit())
            .map_or(0, |at| at + 1);
        let number = before[start..].parse().ok();
        let inside = &rest[at + 1..];
        // A socket's own brackets: `UNIX-STREAM:[8->9]`.
        let end = inside.find("]>").map_or(inside.len(), |end| end + 1);
        if let Some(number) = number {
            found.push((number, inside[..end].to_owned()));
        }
        rest = &inside[end.min(inside.len())..];
    }
    found
}

/// The two numbers of `UNIX-STREAM:[8->9,"/a/path"]`, the second of which is
/// missing before the connection is accepted.
fn peers(name: &str) -> Option<(&str, Option<&str>)> {
    fn number(text: &str) -> &str {
        let end = text.find(|it: char| !it.is_ascii_digit());
        &text[..end.unwrap_or(text.len())]
    }

    let (_, inside) = name.split_once("UNIX-STREAM:[")?;
    let own = number(inside);
    let peer = inside[own.len()..].strip_prefix("->").map(number);
    Some((own, peer))
}

/// The strings among a call's arguments, as strace shows them.
fn strings(arguments: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = arguments.chars();
    // Not those of `<…>`, which names a file.
    let mut depth = 0;
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let arrow = before == '-';
        before = letter;
        match letter {
            '<' => depth += 1,
            '>' if !arrow => depth -= 1,
            '"' if depth <= 0 => {
                let mut text = String::new();
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' => {
                            text.push('\\');
                            text.extend(letters.next());
                        }
                        other => text.push(other),
                    }
                }
                found.push(text);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strace;

    fn record(trace: &str) -> Result<String> {
        let lines = strace::parse(trace, "/bin/it".as_ref())?;
        Ok(of(&lines)?.text(|_| None, |_| String::new()))
    }

    #[test]
    fn who_sleeps_in_shared_memory_is_woken() -> Result<()> {
        let record = record(
            "1 1.0 execve(\"/bin/it\", [\"it\"], 0) = 0\n\
             1 1.1 mmap(NULL, 12, PROT_READ, MAP_SHARED, 3</memfd:it>(deleted), 0) = 0x7000\n\
             1 2.0 fork() = 2\n\
             2 2.1 execve(\"/bin/it\", [\"it\", \"sleeper\"], 0) = 0\n\
             2 2.2 mmap(NULL, 12, PROT_READ, MAP_SHARED, 0</memfd:it>(deleted), 0) = 0x9000\n\
             2 3.0 futex(0x9004, FUTEX_WAIT, 0, NULL <unfinished ...>\n\
             1 4.0 futex(0x7000, FUTEX_WAKE, 9) = 0\n\
             1 5.0 futex(0x7004, FUTEX_WAKE, 9) = 1\n\
             2 6.0 <... futex resumed>) = 0\n\
             2 7.0 +++ exited with 0 +++\n\
             1 8.0 +++ exited with 0 +++\n",
        )?;
        let expected = "  main forks sleeper\n  main wakes sleeper\n  \
                        main exits with 0\n| sleeper exits with 0\n";
        assert_eq!(record, expected);
        Ok(())
    }

    #[test]
    fn what_never_returns_is_named_with_the_holder() -> Result<()> {
        let record = record(
            "1 1.0 execve(\"/bin/it\", [\"it\"], 0) = 0\n\
             1 2.0 pipe2([3<pipe:[7]>, 4<pipe:[7]>], O_CLOEXEC) = 0\n\
             1 3.0 fork() = 2\n\
             2 3.1 close(4<pipe:[7]>) = 0\n\
             2 3.2 read(3<pipe:[7]>,  <unfinished ...>\n\
             1 4.0 wait4(2, ",
        )?;
        let expected = "  main forks a copy\n  \
                        main waits without end for a copy\n| \
                        a copy reads without end: main can write\n";
        assert_eq!(record, expected);
        Ok(())
    }
}
