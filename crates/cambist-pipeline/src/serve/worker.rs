//! The one who owns the model: all answers grow together, step by step.

use std::{collections::BTreeMap, sync::mpsc::Receiver};

use cambist_model::{Drawn, Generation, LocalModel};

use super::{refusal::Refusal, task::Task};

/// Answers requests until nobody can ask any more; those under way then are lost.
pub(super) fn run(model: &LocalModel, batch_size: usize, incoming: &Receiver<Task>) {
    let mut worker = Worker { model, generation: Generation::new(model, batch_size), tasks: BTreeMap::new(), next: 0 };
    loop {
        if worker.generation.is_idle() {
            match incoming.recv() {
                Ok(task) => worker.begin(task),
                Err(_) => return,
            }
        }
        while let Ok(task) = incoming.try_recv() {
            worker.begin(task);
        }
        worker.forget_abandoned();
        worker.step();
    }
}

struct Worker<'a> {
    model: &'a LocalModel,
    generation: Generation<'a>,
    /// By the ticket of their first answer; the others follow it.
    tasks: BTreeMap<u64, Task>,
    next: u64,
}

impl Worker<'_> {
    fn begin(&mut self, mut task: Task) {
        let (first, mut failed) = (self.next, None);
        task.open();
        for request in task.requests(first) {
            self.next += 1;
            failed = failed.or(self.generation.ask(request).err());
        }
        match failed {
            Some(error) => task.fail(&Refusal::prompt(&error, "")),
            None => drop(self.tasks.insert(first, task)),
        }
    }

    fn forget_abandoned(&mut self) {
        let before = self.tasks.len();
        self.tasks.retain(|_, task| !task.is_abandoned());
        if self.tasks.len() < before {
            let (tasks, next) = (&self.tasks, self.next);
            let last_of = |first: u64| tasks.get(&first).map_or(first, |task| first + task.n_choices());
            self.generation.retain(|ticket| {
                ticket < next && tasks.range(..=ticket).next_back().is_some_and(|(first, _)| ticket < last_of(*first))
            });
        }
    }

    fn step(&mut self) {
        match self.generation.step() {
            Ok(drawn) => drawn.into_iter().for_each(|drawn| self.hand_over(drawn)),
            Err(fault) => {
                let refusal = Refusal::ours(format!("{fault}; please report this fault of cambist"));
                self.tasks.values_mut().for_each(|task| task.fail(&refusal));
                self.tasks.clear();
                self.generation.retain(|_| false);
            }
        }
    }

    fn hand_over(&mut self, drawn: Drawn) {
        let Some((first, task)) = self.tasks.range_mut(..=drawn.ticket).next_back() else { return };
        let (first, index) = (*first, drawn.ticket.wrapping_sub(*first));
        if index >= task.n_choices() {
            return;
        }
        task.take(self.model.tokenizer(), (index as usize, drawn));
        if task.is_done() {
            self.tasks.remove(&first);
        }
    }
}
