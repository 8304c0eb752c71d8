//! Decisions and their measures on made-up matrices: what must hold whatever the rewards are.

#[cfg(test)]
mod arbiters;
#[cfg(test)]
mod choosing;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod ensembles;
#[cfg(test)]
mod features;
#[cfg(test)]
mod feedback;
#[cfg(test)]
mod frontier;
mod fusion;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod gates_more;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod language_gate;
#[cfg(test)]
mod learned;
#[cfg(test)]
mod made;
#[cfg(test)]
mod mbr;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod outline;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod reservation;
#[cfg(test)]
mod rouge;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod search;
#[cfg(test)]
mod selection;
