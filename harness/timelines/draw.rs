//! Timelines: who starts, tells, signals and waits for whom, drawn from a
//! small file of events.
//!
//! Time runs downwards, one event a row, and each process is a column. So a
//! figure stays as narrow as a telephone, and its text as large as the
//! page's.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Everything is in the units of the viewBox: at the width of a telephone,
/// one unit is about one CSS pixel.
const WIDTH: f32 = 380.0;
const TOP: f32 = 40.0;
const ROW: f32 = 34.0;
const BAR: f32 = 10.0;

/// Wide enough for a letter of the figures' 14-unit font, on average.
const LETTER: f32 = 7.4;

/// The height of a line of a lane's name.
const LINE: f32 = 16.0;

/// The file of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// What the figure shows, in one sentence without a period.
    pub title: String,
    /// The processes by role, from left to right. An article is for the
    /// sentences alone: the lane of "the parent" is `parent`. The one that no
    /// other starts exists from the start.
    pub lanes: Vec<String>,
    /// From top to bottom.
    pub events: Vec<Event>,
}

/// One row of the figure.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Event {
    /// `from` starts `to`, which may be the successor of one that has ended.
    /// The label is a verb.
    Start {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// Bytes through a pipe, a socket or shared memory. The label says what
    /// is sent.
    Message {
        from: String,
        to: String,
        label: String,
    },
    /// `from` closes its end, and `to` reads the end of file, at once or
    /// after what is still in the pipe.
    Close {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// `from` has ended, and so the kernel has closed its end.
    HangUp {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// A signal.
    Signal {
        from: String,
        to: String,
        label: String,
    },
    /// `lane` blocks until the next row in which something reaches it. Without
    /// a label it takes no row of its own and begins with the row before. The
    /// label begins with a verb.
    Wait { lane: String, label: Option<String> },
    /// `lane` does something that no other process sees. The label begins
    /// with a verb.
    Work { lane: String, label: String },
    /// `lane` blocks, and nothing ever reaches it. The label begins with a
    /// verb; `why` stands below it.
    Hang {
        lane: String,
        label: String,
        why: String,
    },
    /// `lane` ends. The label begins with a verb.
    Exit { lane: String, label: String },
    /// `from` becomes the parent of `to`, whose own parent has ended.
    Adopt {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// `to` collects the exit status of `from`.
    Reap {
        from: String,
        to: String,
        label: Option<String>,
    },
    /// Rows that are left out. The label says which.
    Gap { label: String },
}

impl Event {
    /// Whom it concerns: `from` and `to`, one lane, or nobody.
    fn lanes(&self) -> Vec<&str> {
        match self {
            Event::Start { from, to, .. }
            | Event::Message { from, to, .. }
            | Event::Close { from, to, .. }
            | Event::HangUp { from, to, .. }
            | Event::Signal { from, to, .. }
            | Event::Adopt { from, to, .. }
            | Event::Reap { from, to, .. } => vec![from, to],
            Event::Wait { lane, .. }
            | Event::Work { lane, .. }
            | Event::Hang { lane, .. }
            | Event::Exit { lane, .. } => vec![lane],
            Event::Gap { .. } => Vec::new(),
        }
    }

    /// The text beside the row.
    fn label(&self) -> &str {
        let (label, usual) = match self {
            Event::Message { label, .. }
            | Event::Signal { label, .. }
            | Event::Work { label, .. }
            | Event::Hang { label, .. }
            | Event::Exit { label, .. }
            | Event::Gap { label } => return label,
            Event::Start { label, .. } => (label, "starts"),
            Event::Close { label, .. } => (label, "closes"),
            Event::HangUp { label, .. } => (label, "end of file"),
            Event::Wait { label, .. } => (label, "waits"),
            Event::Adopt { label, .. } => (label, "adopts"),
            Event::Reap { label, .. } => (label, "reaped"),
        };
        label.as_deref().unwrap_or(usual)
    }

    /// The row as a sentence, for readers who do not see the figure. `names`
    /// are those of the lanes that it concerns.
    fn sentence(&self, names: &[&str]) -> String {
        let label = self.label();
        let (from, to) = match *names {
            [from, to] => (from, to),
            [lane] => (lane, ""),
            _ => ("", ""),
        };
        let sentence = match self {
            Event::Start { .. } => format!("{from} {label} {to}"),
            Event::Message { .. } | Event::Signal { .. } => {
                format!("{from} sends {label} to {to}")
            }
            Event::Close { .. } => {
                format!(
                    "{from} closes its end, which is the end of file for {to}"
                )
            }
            Event::HangUp { .. } => {
                format!(
                    "the kernel closes {from}'s end, \
                     which is the end of file for {to}"
                )
            }
            Event::Wait { .. } | Event::Work { .. } | Event::Exit { .. } => {
                format!("{from} {label}")
            }
            Event::Hang { why, .. } => format!("{from} {label}: {why}"),
            Event::Adopt { .. } => format!("{from} adopts {to}"),
            Event::Reap { .. } => {
                format!("{to} collects the exit status of {from}")
            }
            Event::Gap { .. } => label.to_owned(),
        };
        let mut letters = sentence.chars();
        match letters.next() {
            Some(first) => {
                format!("{}{}.", first.to_uppercase(), letters.as_str())
            }
            None => sentence,
        }
    }

    /// Whether it shares the row of the event before.
    fn shares_row(&self) -> bool {
        matches!(self, Event::Wait { label: None, .. })
    }
}

/// Reads a file of events.
///
/// # Errors
/// If it is not TOML of the form of [`Timeline`].
pub fn parse(text: &str) -> Result<Timeline> {
    toml::from_str(text).context("not a timeline")
}

/// A process, and where its lane shows it.
#[derive(Default)]
struct Life {
    start: f32,
    /// Its exit.
    end: Option<f32>,
    /// The last row that concerns it: its parent reaps it after its exit.
    gone: Option<f32>,
    waits: Vec<(f32, f32)>,
    /// Since when it waits.
    waiting: Option<f32>,
    /// Since when it waits in vain.
    stuck: Option<f32>,
}

impl Life {
    fn from(start: f32) -> Life {
        Life {
            start,
            ..Life::default()
        }
    }

    /// Whatever a waiting process does next, or gets, ends its wait.
    fn wake(&mut self, y: f32) {
        self.waits
            .extend(self.waiting.take().map(|since| (since, y)));
    }
}

/// Draws a timeline as inline SVG. `name` makes its ids unique in the book.
///
/// # Errors
/// If an event names an unknown lane, involves a process that has not started
/// or has ended, or has a label that does not fit.
pub fn draw(timeline: &Timeline, name: &str) -> Result<String> {
    let figure = Figure::new(timeline)?;
    let height = figure.height;
    let mut svg = format!(
        "<svg class=\"timeline\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" \
         aria-labelledby=\"timeline-{name}-title\" \
         aria-describedby=\"timeline-{name}-desc\">\n\
         <title id=\"timeline-{name}-title\">{}</title>\n\
         <desc id=\"timeline-{name}-desc\">{}</desc>\n",
        escape(&timeline.title),
        escape(&figure.sentences()?),
    );
    for (lane, lives) in figure.lanes.iter().zip(&figure.lives) {
        figure.lane(&mut svg, lane, lives)?;
    }
    for (row, event) in timeline.events.iter().enumerate() {
        figure
            .row(&mut svg, figure.rows[row], event)
            .with_context(|| format!("event {}", row + 1))?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

struct Figure<'a> {
    timeline: &'a Timeline,
    /// The names of the lanes, without an article.
    lanes: Vec<&'a str>,
    columns: HashMap<&'a str, usize>,
    /// Where each event stands.
    rows: Vec<f32>,
    /// Those of each lane, one after the other.
    lives: Vec<Vec<Life>>,
    top: f32,
    height: f32,
}

impl<'a> Figure<'a> {
    fn new(timeline: &'a Timeline) -> Result<Figure<'a>> {
        let lanes = timeline.lanes.iter();
        let lanes: Vec<&str> = lanes
            .map(|lane| lane.strip_prefix("the ").unwrap_or(lane))
            .collect();
        let columns: HashMap<_, _> = lanes
            .iter()
            .enumerate()
            .map(|(index, lane)| (*lane, index))
            .collect();
        ensure!(
            columns.len() == lanes.len() && !columns.is_empty(),
            "each lane has a name of its own"
        );
        let mut figure = Figure {
            timeline,
            lanes,
            columns,
            rows: Vec::new(),
            lives: Vec::new(),
            top: TOP,
            height: 0.0,
        };
        let names = figure.lanes.iter();
        let lines = names.map(|lane| figure.broken(lane).len()).max();
        figure.top += LINE * (lines.unwrap_or(1) - 1) as f32;
        let mut bottom = figure.top;
        for event in &timeline.events {
            bottom += if event.shares_row() { 0.0 } else { ROW };
            ensure!(bottom > figure.top, "there is no row before the first");
            figure.rows.push(bottom - ROW / 2.0);
            // Its second line.
            if matches!(event, Event::Hang { .. }) {
                bottom += LINE;
            }
        }
        // What hangs does so beyond the last row.
        let hangs = |event: &Event| matches!(event, Event::Hang { .. });
        let beyond = match timeline.events.iter().any(hangs) {
            true => ROW,
            false => 6.0,
        };
        figure.height = bottom + beyond;
        figure.lives = figure.lives()?;
        Ok(figure)
    }

    fn column(&self, lane: &str) -> Result<usize> {
        let column = self.columns.get(lane).copied();
        column.with_context(|| {
            format!("{lane:?} is no lane; the lanes are {:?}", self.lanes)
        })
    }

    /// The width of a lane.
    fn pitch(&self) -> f32 {
        (WIDTH / self.lanes.len() as f32).min(150.0)
    }

    fn x(&self, column: usize) -> f32 {
        let left = (WIDTH - self.pitch() * self.lanes.len() as f32) / 2.0;
        left + self.pitch() * (column as f32 + 0.5)
    }

    fn sentences(&self) -> Result<String> {
        let events = self.timeline.events.iter();
        let sentences: Result<Vec<_>> = events
            .map(|event| {
                let lanes = event.lanes().into_iter();
                let names: Result<Vec<&str>> = lanes
                    .map(|lane| {
                        Ok(self.timeline.lanes[self.column(lane)?].as_str())
                    })
                    .collect();
                Ok(event.sentence(&names?))
            })
            .collect();
        Ok(sentences?.join(" "))
    }

    /// When each process lives and waits.
    fn lives(&self) -> Result<Vec<Vec<Life>>> {
        let mut lives: Vec<Vec<Life>> = Vec::new();
        lives.resize_with(self.lanes.len(), Vec::new);
        let first = self.first()?;
        lives[first].push(Life::from(self.top));
        for (row, event) in self.timeline.events.iter().enumerate() {
            self.live(&mut lives, event, self.rows[row])
                .with_context(|| format!("event {}", row + 1))?;
        }
        for life in lives.iter_mut().flatten() {
            life.wake(self.height);
        }
        Ok(lives)
    }

    /// The lane that no other starts.
    fn first(&self) -> Result<usize> {
        let mut first: Vec<&str> = self.lanes.clone();
        for event in &self.timeline.events {
            if let Event::Start { to, .. } = event {
                first.retain(|lane| lane != to);
            }
        }
        match first[..] {
            [lane] => self.column(lane),
            [] => bail!("one lane must exist from the start"),
            _ => bail!("only one of {first:?} can exist from the start"),
        }
    }

    fn live(
        &self,
        lives: &mut [Vec<Life>],
        event: &Event,
        y: f32,
    ) -> Result<()> {
        let lanes = event.lanes();
        for (place, lane) in lanes.iter().enumerate() {
            let lives = &mut lives[self.column(lane)?];
            let alive = lives.last().map(|life| life.end.is_none());
            match (event, place) {
                (Event::Start { .. }, 1) => {
                    ensure!(alive != Some(true), "{lane:?} lives already");
                    lives.push(Life::from(y));
                    continue;
                }
                (Event::HangUp { .. } | Event::Reap { .. }, 0) => {
                    ensure!(alive == Some(false), "{lane:?} has not ended");
                }
                _ => match alive {
                    None => bail!("{lane:?} has not started"),
                    Some(false) => bail!("{lane:?} has ended"),
                    Some(true) => {}
                },
            }
            let Some(life) = lives.last_mut() else {
                continue;
            };
            match (event, place) {
                (Event::HangUp { .. } | Event::Reap { .. }, 0) => {
                    life.gone = Some(y);
                }
                // The kernel does it.
                (Event::Adopt { .. }, _) => {}
                (Event::Hang { .. }, _) => {
                    life.wake(y);
                    life.stuck = Some(y);
                }
                (Event::Wait { .. }, _) => {
                    life.wake(y);
                    life.waiting = Some(y);
                }
                (Event::Exit { .. }, _) => {
                    life.wake(y);
                    life.end = Some(y);
                }
                _ => life.wake(y),
            }
        }
        Ok(())
    }

    fn lane(&self, svg: &mut String, lane: &str, lives: &[Life]) -> Result<()> {
        let x = self.x(self.column(lane)?);
        let lines = self.broken(lane);
        let mut y = self.top - 20.0 - LINE * (lines.len() - 1) as f32;
        for line in lines {
            fits(line, self.pitch())?;
            writeln!(
                svg,
                "<text class=\"tl-lane\" x=\"{x}\" y=\"{y}\" \
                 text-anchor=\"middle\">{}</text>",
                escape(line)
            )?;
            y += LINE;
        }
        let left = x - BAR / 2.0;
        for life in lives {
            let end = life.end.unwrap_or(self.height);
            if let Some(gone) = life.gone {
                writeln!(
                    svg,
                    "<path class=\"tl-zombie\" d=\"M{x} {end}V{gone}\"/>"
                )?;
            }
            writeln!(
                svg,
                "<rect class=\"tl-run\" x=\"{left}\" y=\"{}\" width=\"{BAR}\" \
                 height=\"{}\"/>",
                life.start,
                end - life.start
            )?;
            let waits = life.waits.iter().map(|it| ("tl-wait", *it));
            let stuck = life.stuck.map(|since| ("tl-stuck", (since, end)));
            for (class, (since, until)) in waits.chain(stuck) {
                writeln!(
                    svg,
                    "<rect class=\"{class}\" x=\"{left}\" y=\"{since}\" \
                     width=\"{BAR}\" height=\"{}\"/>",
                    until - since
                )?;
            }
        }
        Ok(())
    }

    /// A lane's name in as many lines as it needs.
    fn broken<'b>(&self, lane: &'b str) -> Vec<&'b str> {
        let mut lines = vec![lane];
        if fits(lane, self.pitch()).is_err()
            && let Some(end) = lane.find(['-', ' '])
        {
            let (first, second) = lane.split_at(end + 1);
            lines = vec![first.trim_end(), second];
        }
        lines
    }

    fn row(&self, svg: &mut String, y: f32, event: &Event) -> Result<()> {
        match event.lanes()[..] {
            [from, to] => {
                self.arrow(svg, y, event, self.column(from)?, self.column(to)?)
            }
            [lane] => self.mark(svg, y, event, self.column(lane)?),
            _ => {
                writeln!(
                    svg,
                    "<rect class=\"tl-gap\" x=\"0\" y=\"{}\" width=\"{WIDTH}\" \
                     height=\"{}\"/>",
                    y - 12.0,
                    24.0
                )?;
                let middle = WIDTH / 2.0;
                let label = event.label();
                self.text(svg, label, middle, y + 5.0, "middle", WIDTH)
            }
        }
    }

    fn arrow(
        &self,
        svg: &mut String,
        y: f32,
        event: &Event,
        from: usize,
        to: usize,
    ) -> Result<()> {
        ensure!(from != to, "{:?} cannot reach itself", self.lanes[from]);
        let (start, end) = (self.x(from), self.x(to));
        let toward = (end - start).signum();
        let class = match event {
            Event::Start { .. } => "tl-start",
            Event::Signal { .. } => "tl-signal",
            Event::Close { .. } | Event::HangUp { .. } => "tl-close",
            Event::Adopt { .. } => "tl-adopt",
            Event::Reap { .. } => "tl-reap",
            _ => "tl-message",
        };
        // From a process that has ended only a thin line is left.
        let tail = match event {
            Event::HangUp { .. } | Event::Reap { .. } => start,
            _ => start + toward * BAR / 2.0,
        };
        let tip = end - toward * BAR / 2.0;
        let neck = tip - toward * 9.0;
        writeln!(
            svg,
            "<path class=\"tl-arrow {class}\" d=\"M{tail} {y}H{neck}\"/>"
        )?;
        let (upper, lower) = (y - 5.0, y + 5.0);
        match event {
            // The end of file: a pipe that is cut off.
            Event::Close { .. } | Event::HangUp { .. } => writeln!(
                svg,
                "<path class=\"tl-arrow tl-cut\" d=\"M{neck} {upper}V{lower}\"/>"
            )?,
            _ => writeln!(
                svg,
                "<path class=\"tl-head {class}\" d=\"M{tip} {y}L{neck} {upper}V{lower}Z\"/>"
            )?,
        }
        // Beside its tip, if a lane or more lie between, or else over them.
        let label = event.label();
        let near = end - toward * self.pitch() / 2.0;
        let middle = match fits(label, self.pitch() - BAR) {
            Ok(()) => near,
            Err(_) => (start + end) / 2.0,
        };
        let reach = 2.0 * middle.min(WIDTH - middle);
        self.text(svg, label, middle, y - 7.0, "middle", reach)
    }

    fn mark(
        &self,
        svg: &mut String,
        y: f32,
        event: &Event,
        column: usize,
    ) -> Result<()> {
        let x = self.x(column);
        match event {
            Event::Exit { .. } => writeln!(
                svg,
                "<rect class=\"tl-exit\" x=\"{}\" y=\"{}\" width=\"16\" \
                 height=\"6\"/>",
                x - 8.0,
                y - 3.0
            )?,
            Event::Work { .. } => writeln!(
                svg,
                "<circle class=\"tl-work\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"
            )?,
            _ if event.shares_row() => return Ok(()),
            _ => {}
        }
        let mut lines = vec![event.label().to_owned()];
        if let Event::Hang { why, .. } = event {
            lines.push(why.replace("the ", ""));
        }
        self.beside(svg, &lines, x, y)
    }

    /// A text on the right of a lane, unless there is no room or a process is
    /// in the way.
    fn beside(
        &self,
        svg: &mut String,
        lines: &[String],
        x: f32,
        y: f32,
    ) -> Result<()> {
        let long = lines.iter().map(|it| width(it)).fold(0.0, f32::max);
        let (right, left) = (x + 12.0, x - 12.0);
        let on_right = right + long <= WIDTH;
        let on_left = left - long >= 0.0;
        let free_right = on_right && !self.crosses(right, right + long, y);
        let free_left = on_left && !self.crosses(left - long, left, y);
        let mut y = y + 5.0;
        for line in lines {
            if on_left && !free_right && (free_left || !on_right) {
                self.text(svg, line, left, y, "end", left)?;
            } else {
                self.text(svg, line, right, y, "start", WIDTH - right)?;
            }
            y += LINE;
        }
        Ok(())
    }

    /// Whether a process runs between `left` and `right` at the height `y`.
    fn crosses(&self, left: f32, right: f32, y: f32) -> bool {
        let lives = self.lives.iter().enumerate();
        lives
            .filter(|(column, _)| (left..=right).contains(&self.x(*column)))
            .flat_map(|(_, lives)| lives)
            .any(|life| {
                let end = life.gone.or(life.end).unwrap_or(self.height);
                life.start < y + 8.0 && end > y - 8.0
            })
    }

    fn text(
        &self,
        svg: &mut String,
        text: &str,
        x: f32,
        y: f32,
        anchor: &str,
        room: f32,
    ) -> Result<()> {
        fits(text, room)?;
        writeln!(
            svg,
            "<text class=\"tl-label\" x=\"{x}\" y=\"{y}\" \
             text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        )?;
        Ok(())
    }
}

fn width(text: &str) -> f32 {
    text.chars().count() as f32 * LETTER
}

fn fits(text: &str, room: f32) -> Result<()> {
    ensure!(
        width(text) <= room,
        "{text:?} is too long: there is room for {} letters",
        (room / LETTER) as usize
    );
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
