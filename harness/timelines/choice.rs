//! What a figure shows of a record: which processes, which events, and what it
//! calls them. A choice can leave out and rename; it can add nothing.

use std::collections::HashMap;
use std::mem;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::draw::{self, Timeline};
use crate::record::{self, Deed, Event, Moment, Process, Record};
use running::edits::Replace;

/// The file that says what a figure shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What the figure shows, in one sentence without a period.
    pub title: String,
    /// From left to right.
    pub lanes: Vec<Lane>,
    /// From top to bottom.
    pub events: Vec<Step>,
    /// What is changed in the program before it runs, for a figure of what goes
    /// wrong.
    #[serde(default)]
    pub change: Vec<Replace>,
    /// How long the program may run, in seconds. A figure that shows a hang
    /// waits so long for it.
    pub seconds: Option<u64>,
    /// Whether the record has the sleeps and wake-ups of futexes in shared
    /// memory.
    #[serde(default)]
    pub futexes: bool,
}

/// A lane and the processes that it shows, one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// An article is for the sentences alone.
    pub name: String,
    /// How the record calls its processes, without a number: `main`, their
    /// arguments, or `a copy` of a process that has forked.
    pub is: Vec<String>,
}

/// One row of the figure, and the event that it shows. A label replaces what
/// the record says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Step {
    /// `from` starts or forks `to`.
    Start {
        from: String,
        to: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    /// `text` is part of what is sent, as strace shows it.
    Message {
        from: String,
        to: String,
        text: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    /// `from` closes its end, and `to` reads the end of file.
    Close {
        from: String,
        to: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    /// The same, because `from` has ended.
    HangUp {
        from: String,
        to: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    Signal {
        from: String,
        to: String,
        /// `SIGTERM`.
        name: String,
        #[serde(default)]
        free: bool,
    },
    Exit {
        lane: String,
        /// The exit code, or the signal.
        with: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    Adopt {
        from: String,
        to: String,
    },
    /// `to` collects the exit status of `from`.
    Reap {
        from: String,
        to: String,
        #[serde(default)]
        free: bool,
    },
    /// `text` is part of what is printed.
    Print {
        lane: String,
        text: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    /// `from` looks, and `to` has not ended.
    Alive {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// `from` wakes `to`, which sleeps on a futex in their shared memory.
    Wake {
        from: String,
        to: String,
        label: Option<String>,
        #[serde(default)]
        free: bool,
    },
    /// `lane` finds nothing to read and no end of file. `held_by` are the
    /// processes that could write, as the record calls them.
    Open {
        lane: String,
        held_by: String,
        label: Option<String>,
    },
    /// `lane` reads, and nothing comes, not even the end of file. `held_by` are
    /// the processes that could write, as the record calls them.
    Hang {
        lane: String,
        held_by: String,
        label: Option<String>,
    },
    /// `from` waits for the end of `to`, and it does not come.
    WaitsInVain {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// Rows that are left out.
    Gap {
        label: String,
    },
}

impl Choice {
    /// What the figure calls the processes of the record: `main and worker #1`.
    fn named(&self, processes: &str) -> String {
        let name = |process: &str| {
            let is =
                |lane: &&Lane| lane.is.iter().any(|it| it == role(process));
            let lane = self.lanes.iter().find(is);
            lane.map_or(process, |lane| lane.name.as_str()).to_owned()
        };
        let names: Vec<String> = processes.split(" and ").map(name).collect();
        names.join(" and ")
    }
}

impl Step {
    /// Whom it concerns.
    fn lanes(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Step::Start { from, to, .. }
            | Step::Message { from, to, .. }
            | Step::Close { from, to, .. }
            | Step::HangUp { from, to, .. }
            | Step::Signal { from, to, .. }
            | Step::Adopt { from, to }
            | Step::Reap { from, to, .. }
            | Step::Alive { from, to, .. }
            | Step::Wake { from, to, .. }
            | Step::WaitsInVain { from, to, .. } => (Some(from), Some(to)),
            Step::Exit { lane, .. }
            | Step::Print { lane, .. }
            | Step::Open { lane, .. }
            | Step::Hang { lane, .. } => (Some(lane), None),
            Step::Gap { .. } => (None, None),
        }
    }

    /// Whether the program does not order it among its neighbors that are
    /// free, too.
    fn is_free(&self) -> bool {
        match self {
            Step::Start { free, .. }
            | Step::Message { free, .. }
            | Step::Close { free, .. }
            | Step::HangUp { free, .. }
            | Step::Signal { free, .. }
            | Step::Exit { free, .. }
            | Step::Reap { free, .. }
            | Step::Wake { free, .. }
            | Step::Print { free, .. } => *free,
            _ => false,
        }
    }

    /// Whether the event is of this kind and content.
    fn fits(&self, deed: &Deed) -> bool {
        match (self, deed) {
            (Step::Start { .. }, Deed::Starts { .. })
            | (Step::Close { .. }, Deed::Closes)
            | (Step::HangUp { .. }, Deed::HangsUp)
            | (Step::Adopt { .. }, Deed::Adopts)
            | (Step::Reap { .. }, Deed::IsReaped)
            | (Step::Alive { .. }, Deed::SeesAlive)
            | (Step::Wake { .. }, Deed::Wakes)
            | (Step::WaitsInVain { .. }, Deed::WaitsInVain) => true,
            (Step::Open { held_by, .. }, Deed::FindsOpen(holders))
            | (Step::Hang { held_by, .. }, Deed::Hangs(holders)) => {
                holders == held_by
            }
            (Step::Message { text, .. }, Deed::Sends(sent)) => {
                sent.contains(text)
            }
            (Step::Print { text, .. }, Deed::Prints(printed)) => {
                printed.contains(text)
            }
            (Step::Signal { name, .. }, Deed::Signals(signal)) => {
                name == signal
            }
            (Step::Exit { with, .. }, Deed::Ends(end)) => match end {
                Ok(code) => *with == code.to_string(),
                Err(signal) => with == signal,
            },
            _ => false,
        }
    }

    /// What the record would have to say.
    fn wanted(&self) -> String {
        let (from, to) = self.lanes();
        match (self, self.deed()) {
            (Step::Gap { label }, _) => label.clone(),
            (_, deed) => record::sentence(
                &deed.unwrap_or(Deed::Adopts),
                from.unwrap_or_default(),
                to.unwrap_or_default(),
            ),
        }
    }

    fn deed(&self) -> Option<Deed> {
        Some(match self {
            Step::Start { .. } => Deed::Starts { forked: false },
            Step::Message { text, .. } => Deed::Sends(text.clone()),
            Step::Close { .. } => Deed::Closes,
            Step::HangUp { .. } => Deed::HangsUp,
            Step::Signal { name, .. } => Deed::Signals(name.clone()),
            Step::Exit { with, .. } => Deed::Ends(match with.parse() {
                Ok(code) => Ok(code),
                Err(_) => Err(with.clone()),
            }),
            Step::Adopt { .. } => Deed::Adopts,
            Step::Reap { .. } => Deed::IsReaped,
            Step::Print { text, .. } => Deed::Prints(text.clone()),
            Step::Alive { .. } => Deed::SeesAlive,
            Step::Wake { .. } => Deed::Wakes,
            Step::Open { held_by, .. } => Deed::FindsOpen(held_by.clone()),
            Step::Hang { held_by, .. } => Deed::Hangs(held_by.clone()),
            Step::WaitsInVain { .. } => Deed::WaitsInVain,
            Step::Gap { .. } => return None,
        })
    }
}

/// The events of a record that a figure shows: one for each step but a gap.
#[derive(Debug)]
pub struct Found {
    pub events: Vec<Option<usize>>,
}

/// Reads a choice.
///
/// # Errors
/// If it is not TOML of the form of [`Choice`].
pub fn parse(text: &str) -> Result<Choice> {
    toml::from_str(text).context("this is no choice")
}

/// Most events of a record in which a figure's are looked for.
const MOST_EVENTS: usize = 3000;

/// Most states that are tried: a figure has a few dozen steps.
const MOST_TRIES: usize = 2_000_000;

/// Finds the events of the figure in a record, in the figure's order: on each
/// lane, one after the other in the order of the process.
///
/// # Errors
/// If the record does not have them in this order. `line` finds the line of the
/// listing, to name it.
pub fn find(
    choice: &Choice,
    record: &Record,
    line: impl Fn(&[u64]) -> Option<u32>,
) -> Result<Found> {
    let mut search = Search::new(choice, record)?;
    match search.begin()? {
        true => Ok(Found {
            events: search.found,
        }),
        false => anyhow::bail!("{}", search.complaint(&line)),
    }
}

/// An event with its lines.
pub fn described(
    record: &Record,
    event: &Event,
    line: impl Fn(&[u64]) -> Option<u32>,
) -> String {
    let at = |moment: &Moment, stack: &[u64]| {
        let name = &record.processes[moment.process];
        match line(stack) {
            Some(line) => format!("{name} (line {line})"),
            None => name.clone(),
        }
    };
    let from = at(&event.from, &event.stacks[0]);
    let to = event.to.as_ref().map(|to| at(to, &event.stacks[1]));
    record::sentence(&event.deed, &from, &to.unwrap_or_default())
}

/// A lane's name without its article.
fn short(name: &str) -> &str {
    name.strip_prefix("the ").unwrap_or(name)
}

/// A process's name without its number.
fn role(name: &str) -> &str {
    name.split_once(" #").map_or(name, |(role, _)| role)
}

/// Lane to the process that it shows at a row.
type Bound = HashMap<String, Process>;

struct Search<'a> {
    choice: &'a Choice,
    record: &'a Record,
    tries: usize,
    deepest: usize,
    /// What had been found and whom the lanes showed there.
    deepest_found: Vec<Option<usize>>,
    deepest_bound: Bound,
    /// An event that would have fitted the deepest step, but comes too early.
    too_early: Option<usize>,
    found: Vec<Option<usize>>,
    /// Whether the events must come in the order of the rows.
    ordered: bool,
    /// How many rows may have no event.
    may_miss: usize,
}

impl<'a> Search<'a> {
    fn new(choice: &'a Choice, record: &'a Record) -> Result<Search<'a>> {
        for step in &choice.events {
            let (from, to) = step.lanes();
            for lane in [from, to].into_iter().flatten() {
                ensure!(
                    choice.lanes.iter().any(|it| short(&it.name) == lane),
                    "{lane:?} is no lane"
                );
            }
        }
        let events = record.events.len();
        ensure!(
            events <= MOST_EVENTS,
            "{events} events are too many: let the program do less, by a \
             `[[change]]` in the figure's file"
        );
        Ok(Search {
            choice,
            record,
            tries: 0,
            deepest: 0,
            deepest_found: Vec::new(),
            deepest_bound: Bound::new(),
            too_early: None,
            found: Vec::new(),
            ordered: true,
            may_miss: 0,
        })
    }

    /// Whether each row has its event.
    fn begin(&mut self) -> Result<bool> {
        let mut bound = Bound::new();
        for lane in &self.choice.lanes {
            let name = short(&lane.name);
            let is_started = self.choice.events.iter().any(
                |step| matches!(step, Step::Start { to, .. } if to == name),
            );
            if is_started {
                continue;
            }
            let process = self
                .record
                .processes
                .iter()
                .position(|it| lane.is.iter().any(|is| is == role(it)))
                .with_context(|| format!("no process is {:?}", lane.is))?;
            bound.insert(name.to_owned(), process);
        }
        Ok(self.step(0, &bound))
    }

    /// What does not hold, with the lines of the program.
    fn complaint(&self, line: &impl Fn(&[u64]) -> Option<u32>) -> String {
        let step = &self.choice.events[self.deepest];
        let event =
            |it: usize| described(self.record, &self.record.events[it], line);
        let mut text = format!(
            "row {}, {:?}, is no longer there after the rows before it",
            self.deepest + 1,
            step.wanted()
        );
        if let Some(early) = self.too_early {
            text += &format!("\n  too early: {}", event(early));
        }
        if let Some(before) = self.deepest_found.iter().rev().flatten().next() {
            text += &format!("\n  the row before it: {}", event(*before));
        }
        if self.too_early.is_none()
            && let Some(next) = self.next_of(step)
        {
            text += &format!("\n  what comes instead: {}", event(next));
        }
        text
    }

    /// What the process that should do the step does next, of the same kind if
    /// there is something.
    fn next_of(&self, step: &Step) -> Option<usize> {
        let process = *self.deepest_bound.get(step.lanes().0?)?;
        let events = self.record.events.iter().enumerate();
        let is_past = |event: usize| {
            let found = self.deepest_found.iter().flatten();
            let mut found = found.copied();
            found.any(|it| {
                it == event || self.record.before()[it].contains(event)
            })
        };
        let later = events.filter(|(place, event)| {
            event.from.process == process
                && event.from.thread != record::NOBODY
                && !is_past(*place)
        });
        let kind = step.deed().map(|it| mem::discriminant(&it));
        let first = later.min_by_key(|(_, event)| {
            let is_other = kind != Some(mem::discriminant(&event.deed));
            (is_other, event.from.place)
        })?;
        Some(first.0)
    }

    fn step(&mut self, index: usize, bound: &Bound) -> bool {
        let Some(step) = self.choice.events.get(index) else {
            return true;
        };
        if index > self.deepest || index == 0 {
            self.deepest = index;
            self.deepest_found = self.found.clone();
            self.deepest_bound = bound.clone();
            self.too_early = None;
        }
        if matches!(step, Step::Gap { .. }) {
            self.found.push(None);
            if self.step(index + 1, bound) {
                return true;
            }
            self.found.pop();
            return false;
        }
        let free = self.choice.events[..index].iter().rev();
        let free = free.take_while(|it| it.is_free()).count();
        let after = if step.is_free() { index - free } else { index };
        for event in 0..self.record.events.len() {
            self.tries += 1;
            if self.tries > MOST_TRIES || self.found.contains(&Some(event)) {
                continue;
            }
            let next = self.try_event(index, step, event, bound, after);
            let Some(next) = next else {
                continue;
            };
            self.found.push(Some(event));
            if self.step(index + 1, &next) {
                return true;
            }
            self.found.pop();
        }
        if self.may_miss > 0 {
            self.may_miss -= 1;
            self.found.push(None);
            if self.step(index + 1, bound) {
                return true;
            }
            self.found.pop();
            self.may_miss += 1;
        }
        false
    }

    /// Whom the lanes show after the step, if it can be this event. It must not
    /// come before one of the first `after` rows.
    fn try_event(
        &mut self,
        index: usize,
        step: &Step,
        place: usize,
        bound: &Bound,
        after: usize,
    ) -> Option<Bound> {
        let event = &self.record.events[place];
        // Whoever accepts another order accepts another end, too.
        let ends = !self.ordered
            && matches!(
                (step, &event.deed),
                (Step::Exit { .. }, Deed::Ends(_))
            );
        if !ends && !step.fits(&event.deed) {
            return None;
        }
        let mut next = bound.clone();
        let (from, to) = step.lanes();
        let is_start = matches!(step, Step::Start { .. });
        for (lane, moment) in [(from, Some(event.from)), (to, event.to)] {
            let Some(lane) = lane else { continue };
            let moment = moment?;
            let is_new = is_start && Some(lane) == to;
            let shown = next.get(lane);
            if is_new {
                let lives = shown.is_some_and(|&it| {
                    !self.record.ends_before(it, event.from.place)
                });
                if lives {
                    return None;
                }
                let wanted = self
                    .choice
                    .lanes
                    .iter()
                    .find(|it| short(&it.name) == lane)?;
                let name = &self.record.processes[moment.process];
                if !wanted.is.iter().any(|is| is == role(name)) {
                    return None;
                }
                next.insert(lane.to_owned(), moment.process);
            } else if shown != Some(&moment.process) {
                return None;
            }
        }
        // Threads can agree on an order that no system call shows. A start is
        // to come after what its process has been seen to do before.
        let was_seen = |earlier: usize| {
            let earlier = &self.record.events[earlier];
            let moments = [Some(earlier.from), earlier.to];
            let mut own = moments.iter().flatten().filter(|it| {
                it.process == event.from.process && it.thread != record::NOBODY
            });
            is_start && own.any(|it| it.place > event.from.place)
        };
        let is_early = |earlier: &Option<usize>| {
            earlier.is_some_and(|it| {
                self.record.before()[it].contains(place)
                    || self.record.begins_before(place, it)
                    || was_seen(it)
            })
        };
        if self.ordered && self.found[..after].iter().any(is_early) {
            if index == self.deepest {
                self.too_early = Some(place);
            }
            return None;
        }
        Some(next)
    }
}

/// The rows, by place in the choice, in the order that they have in another
/// record, with their events, without those that are no longer there. A gap
/// stays behind the row before it.
///
/// # Errors
/// Those of [`find`], but for the order.
fn reordered(
    choice: &Choice,
    record: &Record,
) -> Result<Vec<(usize, Option<usize>)>> {
    let places = record.places();
    for may_miss in 0..=choice.events.len() {
        let mut search = Search::new(choice, record)?;
        search.ordered = false;
        search.may_miss = may_miss;
        if !search.begin()? {
            continue;
        }
        let mut rows = Vec::new();
        let mut last = 0;
        for (index, found) in search.found.iter().enumerate() {
            let is_gap = matches!(choice.events[index], Step::Gap { .. });
            last = found.map_or(last, |event| places[event]);
            if is_gap || found.is_some() {
                rows.push((last, index, *found));
            }
        }
        rows.sort();
        return Ok(rows.into_iter().map(|it| (it.1, it.2)).collect());
    }
    anyhow::bail!("no row is left")
}

/// The text of a choice with its rows in the order of another record; what is
/// no longer there is left out.
///
/// # Errors
/// If the rows do not stand one a line.
pub fn rewritten(
    text: &str,
    choice: &Choice,
    record: &Record,
) -> Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| *line == "events = [");
    let start = start.context("no line `events = [`")? + 1;
    let count = choice.events.len();
    let rows = lines.get(start..start + count).unwrap_or_default();
    let are_rows = rows.iter().all(|line| line.starts_with("    { kind = "));
    ensure!(
        are_rows && lines.get(start + count) == Some(&"]"),
        "each row stands on a line of its own: `    {{ kind = …`"
    );
    let mut new: Vec<String> =
        lines[..start].iter().map(ToString::to_string).collect();
    for (row, event) in reordered(choice, record)? {
        let deed = event.map(|event| &record.events[event].deed);
        new.push(with_new_end(rows[row], &choice.events[row], deed));
    }
    new.extend(lines[start + count..].iter().map(ToString::to_string));
    Ok(new.join("\n") + "\n")
}

/// The row of an end that is another one now.
fn with_new_end(row: &str, step: &Step, deed: Option<&Deed>) -> String {
    match (step, deed) {
        (Step::Exit { with, .. }, Some(Deed::Ends(end))) => {
            let new = match end {
                Ok(code) => code.to_string(),
                Err(signal) => signal.clone(),
            };
            row.replace(
                &format!("with = \"{with}\""),
                &format!("with = \"{new}\""),
            )
        }
        _ => row.to_owned(),
    }
}

/// The figure: the chosen events of the record, and the waits between them.
///
/// # Errors
/// If a step has no event.
pub fn timeline(
    choice: &Choice,
    record: &Record,
    found: &Found,
) -> Result<Timeline> {
    let mut events: Vec<draw::Event> = Vec::new();
    // For each lane the place in `events` after its last own row.
    let mut rows: HashMap<&str, usize> = HashMap::new();
    let mut waits: Vec<(usize, &str)> = Vec::new();
    for (step, event) in choice.events.iter().zip(&found.events) {
        let deed = event.map(|event| &record.events[event].deed);
        let (from, to) = step.lanes();
        // Whoever receives something has waited for it since its last row.
        if let (Some(to), Some(deed)) = (to, deed)
            && matches!(
                deed,
                Deed::Sends(_)
                    | Deed::Closes
                    | Deed::HangsUp
                    | Deed::IsReaped
                    | Deed::Wakes
            )
            && let Some(&row) = rows.get(to)
        {
            waits.push((row, to));
        }
        events.push(shown(choice, step, deed)?);
        // The kernel adopts; the two go on with what they did.
        if matches!(step, Step::Adopt { .. }) {
            continue;
        }
        for lane in [from, to].into_iter().flatten() {
            rows.insert(lane, events.len());
        }
    }
    let mut whole = Vec::new();
    for (row, event) in events.into_iter().enumerate() {
        for (_, lane) in waits.iter().filter(|(at, _)| *at == row && row > 0) {
            whole.push(draw::Event::Wait {
                lane: (*lane).to_owned(),
                label: None,
            });
        }
        whole.push(event);
    }
    Ok(Timeline {
        title: choice.title.clone(),
        lanes: choice.lanes.iter().map(|it| it.name.clone()).collect(),
        events: whole,
    })
}

/// A step as a row of the figure.
fn shown(
    choice: &Choice,
    step: &Step,
    deed: Option<&Deed>,
) -> Result<draw::Event> {
    let quoted = |text: &str| {
        let text = text.trim_end_matches("\\n");
        format!("\"{text}\"")
    };
    let row = match step {
        Step::Start {
            from, to, label, ..
        } => draw::Event::Start {
            from: from.clone(),
            to: to.clone(),
            label: label.clone().or_else(|| {
                let forked =
                    matches!(deed, Some(Deed::Starts { forked: true }));
                forked.then(|| "forks".to_owned())
            }),
        },
        Step::Message {
            from,
            to,
            text,
            label,
            ..
        } => draw::Event::Message {
            from: from.clone(),
            to: to.clone(),
            label: label.clone().unwrap_or_else(|| quoted(text)),
        },
        Step::Close {
            from, to, label, ..
        } => draw::Event::Close {
            from: from.clone(),
            to: to.clone(),
            label: label.clone(),
        },
        Step::HangUp {
            from, to, label, ..
        } => draw::Event::HangUp {
            from: from.clone(),
            to: to.clone(),
            label: label.clone(),
        },
        Step::Signal { from, to, name, .. } => draw::Event::Signal {
            from: from.clone(),
            to: to.clone(),
            label: name.clone(),
        },
        Step::Exit { lane, label, .. } => draw::Event::Exit {
            lane: lane.clone(),
            label: match (label, deed) {
                (Some(label), _) => label.clone(),
                (None, Some(Deed::Ends(Ok(code)))) => {
                    format!("exits with {code}")
                }
                (None, Some(Deed::Ends(Err(signal)))) => {
                    format!("dies of {signal}")
                }
                _ => anyhow::bail!("this row has no event"),
            },
        },
        Step::Adopt { from, to } => draw::Event::Adopt {
            from: from.clone(),
            to: to.clone(),
            label: None,
        },
        Step::Reap { from, to, .. } => draw::Event::Reap {
            from: from.clone(),
            to: to.clone(),
            label: None,
        },
        Step::Print {
            lane, text, label, ..
        } => draw::Event::Work {
            lane: lane.clone(),
            label: label
                .clone()
                .unwrap_or_else(|| format!("prints {}", quoted(text))),
        },
        Step::Alive { from, to, label } => draw::Event::Work {
            lane: from.clone(),
            label: label.clone().unwrap_or_else(|| format!("sees {to} alive")),
        },
        Step::Wake {
            from, to, label, ..
        } => draw::Event::Message {
            from: from.clone(),
            to: to.clone(),
            label: label.clone().unwrap_or_else(|| "wakes".to_owned()),
        },
        Step::Open { lane, label, .. } => draw::Event::Work {
            lane: lane.clone(),
            label: label
                .clone()
                .unwrap_or_else(|| "finds no end of file".to_owned()),
        },
        Step::Hang {
            lane,
            held_by,
            label,
        } => draw::Event::Hang {
            lane: lane.clone(),
            label: label.clone().unwrap_or_else(|| "reads".to_owned()),
            why: format!("{} can write", choice.named(held_by)),
        },
        Step::WaitsInVain { from, to, label } => draw::Event::Hang {
            lane: from.clone(),
            label: label.clone().unwrap_or_else(|| "waits".to_owned()),
            why: format!("{to} does not end"),
        },
        Step::Gap { label } => draw::Event::Gap {
            label: label.clone(),
        },
    };
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strace;

    /// A parent starts a worker, which says something; it closes the worker's
    /// input before or after that, and collects its status.
    fn record(closes_first: bool) -> Result<Record> {
        let word = "2 5.0 write(1<pipe:[8]>, \"ready\\n\", 6) = 6\n\
                    1 6.0 read(5<pipe:[8]>, \"ready\\n\", 99) = 6\n";
        let close = match closes_first {
            true => "1 4.5 close(4<pipe:[7]>) = 0\n",
            false => "1 6.5 close(4<pipe:[7]>) = 0\n",
        };
        let (before, after) = match closes_first {
            true => (close, ""),
            false => ("", close),
        };
        let trace = format!(
            "1 1.0 execve(\"/bin/it\", [\"it\"], 0) = 0\n\
             1 2.0 pipe2([3<pipe:[7]>, 4<pipe:[7]>], O_CLOEXEC) = 0\n\
             1 2.1 pipe2([5<pipe:[8]>, 6<pipe:[8]>], O_CLOEXEC) = 0\n\
             1 3.0 clone3({{flags=CLONE_VM|CLONE_VFORK}}, 88) = 2\n\
             2 3.1 dup2(3<pipe:[7]>, 0) = 0<pipe:[7]>\n\
             2 3.2 dup2(6<pipe:[8]>, 1) = 1<pipe:[8]>\n\
             2 3.3 execve(\"/bin/it\", [\"it\", \"worker\"], 0) = 0\n\
             1 3.4 close(3<pipe:[7]>) = 0\n\
             1 3.5 close(6<pipe:[8]>) = 0\n\
             {before}{word}{after}\
             2 7.0 read(0<pipe:[7]>, \"\", 99) = 0\n\
             2 8.0 exit_group(0) = ?\n\
             2 8.1 +++ exited with 0 +++\n\
             1 9.0 wait4(2, [{{WIFEXITED(s)}}], 0, NULL) = 2\n\
             1 9.1 +++ exited with 0 +++\n"
        );
        crate::record::of(&strace::parse(&trace, "/bin/it".as_ref())?)
    }

    const CHOICE: &str = r#"
        title = "A worker is joined"
        lanes = [
            { name = "the parent", is = ["main"] },
            { name = "the worker", is = ["worker"] },
        ]
        events = [
            { kind = "start", from = "parent", to = "worker" },
            { kind = "message", from = "worker", to = "parent", text = "ready" },
            { kind = "close", from = "parent", to = "worker" },
            { kind = "exit", lane = "worker", with = "0" },
            { kind = "reap", from = "worker", to = "parent" },
        ]"#;

    #[test]
    fn a_figure_is_made_of_what_happened() -> Result<()> {
        let (choice, record) = (parse(CHOICE)?, record(false)?);
        assert_eq!(
            record.text(|_| None, |_| String::new()),
            "  main starts worker\n  \
             worker sends \"ready\\n\" to main\n  \
             main closes its end, end of file for worker\n  \
             worker exits with 0\n  \
             main collects the status of worker\n  \
             main exits with 0\n"
        );
        let found = find(&choice, &record, |_| None)?;
        let figure = timeline(&choice, &record, &found)?;
        let svg = draw::draw(&figure, "test")?;
        assert!(svg.contains("The worker exits with 0."), "{svg}");
        Ok(())
    }

    #[test]
    fn another_order_is_named() -> Result<()> {
        let (choice, record) = (parse(CHOICE)?, record(true)?);
        let problem = find(&choice, &record, |_| None).map(|_| ());
        let problem = problem.err().map(|error| format!("{error:#}"));
        assert_eq!(
            problem.as_deref(),
            Some(
                "row 3, \"parent closes its end, end of file for worker\", is \
                 no longer there after the rows before it\n  \
                 too early: main closes its end, end of file for worker\n  \
                 the row before it: worker sends \"ready\\n\" to main"
            )
        );
        Ok(())
    }
}
