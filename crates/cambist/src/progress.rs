//! Progress on a terminal: one line for each job at work and one for each of its teachers, finished jobs above.
//! Elsewhere: a line now and then.

mod teachers;
pub(crate) mod verdict;

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cambist_io::store::EndpointProbe;
use cambist_pipeline::progress::{Advance, Outcome, Progress, TeacherProgress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::screen;

/// How often a job speaks when nobody watches a terminal.
const PERIOD: Duration = Duration::from_secs(30);

/// Shows a run on stderr.
pub(crate) struct Teller {
    bars: Option<MultiProgress>,
    jobs: Mutex<BTreeMap<String, Job>>,
}

struct Job {
    bar: Option<ProgressBar>,
    /// By teacher, on a terminal.
    lines: BTreeMap<String, ProgressBar>,
    /// Whether its teachers are told of one by one.
    has_teachers: bool,
    n_scored: u64,
    started: Instant,
    spoke: Instant,
}

impl Teller {
    /// Returns a teller for this stderr: live lines on a terminal, periodic ones elsewhere.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, jobs: Mutex::new(BTreeMap::new()) }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => screen::talk(line),
        }
    }
}

impl Progress for Teller {
    fn begin(&self, job: &str, verb: &str) {
        let now = Instant::now();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length());
            let template = "  {spinner} {prefix:<32} {msg}";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(job.to_owned());
            bar.set_message(verb.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        self.jobs().insert(
            job.to_owned(),
            Job { bar, lines: BTreeMap::new(), has_teachers: false, n_scored: 0, started: now, spoke: now },
        );
    }

    fn advance(&self, job: &str, at: Advance<'_>) {
        let mut jobs = self.jobs();
        let Some(state) = jobs.get_mut(job) else { return };
        let mut line = reading(&at, state.started.elapsed());
        if state.n_scored > 0 {
            line += &format!(", {} scored", state.n_scored);
        }
        match &state.bar {
            Some(bar) => bar.set_message(line),
            // Its teachers say more.
            None if state.has_teachers => {}
            None if state.spoke.elapsed() >= PERIOD => {
                state.spoke = Instant::now();
                screen::talk(&format!("        {job}: {line}"));
            }
            None => {}
        }
    }

    fn teachers(&self, job: &str, teachers: &BTreeMap<&str, TeacherProgress>) {
        let mut jobs = self.jobs();
        let Some(state) = jobs.get_mut(job) else { return };
        state.has_teachers = !teachers.is_empty();
        let elapsed = state.started.elapsed();
        match (&self.bars, &state.bar) {
            (Some(bars), Some(below)) => {
                for (name, line) in teachers::lines(teachers, elapsed) {
                    let bar = state.lines.entry(name).or_insert_with(|| bars.insert_after(below, teacher_line()));
                    bar.set_message(line);
                }
            }
            _ if state.spoke.elapsed() >= PERIOD => {
                state.spoke = Instant::now();
                let scored = if state.n_scored > 0 { format!("; {} scored", state.n_scored) } else { String::new() };
                screen::talk(&format!("        {job}: {}{scored}", teachers::brief(teachers, elapsed)));
            }
            _ => {}
        }
    }

    fn minimises(&self, job: &str, formula: &str) {
        self.say(&format!("  loss  {job:<32} {formula}"));
    }

    fn probed(&self, probe: &EndpointProbe) {
        self.say(&format!("  {}", verdict::line(probe)));
        probe.warnings.iter().for_each(|warning| self.say(&format!("warning: {warning}")));
    }

    fn warn(&self, job: &str, warning: &str) {
        self.say(&format!("warning: `{job}`: {warning}"));
    }

    fn scores(&self, job: &str, at: Advance<'_>) {
        if let Some(state) = self.jobs().get_mut(job) {
            state.n_scored = at.done;
        }
    }

    fn end(&self, job: &str, outcome: Outcome<'_>) {
        if let Some(state) = self.jobs().remove(job) {
            state.lines.into_values().chain(state.bar).for_each(|bar| bar.finish_and_clear());
        }
        match outcome {
            // How many were finished before is told at the start.
            Outcome::Reused { .. } => {}
            Outcome::Made { artifact, seconds } => {
                self.say(&format!("  done  {job:<32} {seconds:>7.1} s {artifact}"));
            }
            Outcome::Failed => self.say(&format!("  fail  {job}")),
            Outcome::Stopped => self.say(&format!("  stop  {job}")),
        }
    }
}

/// A line that is cut where the terminal ends.
fn teacher_line() -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_style(
        ProgressStyle::with_template("      {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar
}

/// `412 of 600 steps, 96 a second, 2 s left, loss 0.31`.
fn reading(at: &Advance<'_>, elapsed: Duration) -> String {
    let Advance { done, total, unit, note } = *at;
    let seconds = elapsed.as_secs_f64();
    let mut line = format!("{done} of {total} {unit}");
    if done > 0 && seconds > 0.2 {
        let rate = done as f64 / seconds;
        let left = total.saturating_sub(done) as f64 / rate;
        line += &format!(", {} a second, {} left", round(rate), clock(left));
    }
    if !note.is_empty() {
        line += &format!(", {note}");
    }
    line
}

fn round(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

/// Seconds in words for people: `12 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_rate_and_time_left() {
        let at = Advance { done: 200, total: 600, unit: "steps", note: "loss 0.31" };
        let line = reading(&at, Duration::from_secs(2));
        assert_eq!(line, "200 of 600 steps, 100 a second, 4 s left, loss 0.31");
        assert_eq!(clock(185.0), "3 min 5 s");
        assert_eq!(clock(7800.0), "2 h 10 min");
    }
}
