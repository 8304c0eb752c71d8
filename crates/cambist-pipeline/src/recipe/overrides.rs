//! `key.sub=value` on the command line, laid over the recipe before it is checked.

use super::{
    fault::{Fault, Place},
    node::{Content, Entry, Node},
};

/// Lays one `path=value` over the tree; the value is read as YAML.
///
/// A path is keys joined by dots. Steps, teachers and arbiters are addressed by their ids:
/// `students.train.steps=50`, `pool.mono.price.output=0.2`, `seed=9`.
///
/// # Errors
/// When there is no `=`, the value is no YAML, or the path leads nowhere.
pub(super) fn apply(root: &mut Node, assignment: &str) -> Result<(), Fault> {
    let fault = |what: String, remedy: &str| Fault::new(Place::START, what, remedy);
    let Some((path, value)) = assignment.split_once('=') else {
        let what = format!("the override `{assignment}` has no `=`");
        return Err(fault(what, "write it as `key.sub=value`, for example `seed=9`"));
    };
    let value = Node::parse(value).map_err(|f| fault(format!("the override `{assignment}`: {}", f.what), &f.remedy))?;
    let keys: Vec<&str> = path.split('.').collect();
    match target(root, &keys) {
        Some(node) => {
            *node = value;
            Ok(())
        }
        None => Err(fault(
            format!("the override `{assignment}` leads nowhere"),
            "name a key of the recipe, or a step by its id: `students.train.steps=50`",
        )),
    }
}

fn target<'a>(root: &'a mut Node, keys: &[&str]) -> Option<&'a mut Node> {
    let (first, rest) = keys.split_first()?;
    let top_level = ["name", "seed", "pool", "arbiters", "steps"].contains(first);
    let start = if top_level { descend(root, first)? } else { by_id(descend(root, "steps")?, first)? };
    rest.iter().try_fold(start, |node, key| descend(node, key))
}

fn descend<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    if matches!(node.content, Content::Sequence(_)) {
        return by_id(node, key);
    }
    let place = node.place;
    let Content::Mapping(entries) = &mut node.content else { return None };
    let index = match entries.iter().position(|entry| entry.key == key) {
        Some(index) => index,
        None => {
            let value = Node { place, content: Content::Mapping(Vec::new()) };
            entries.push(Entry { key: key.to_owned(), key_place: place, value });
            entries.len() - 1
        }
    };
    entries.get_mut(index).map(|entry| &mut entry.value)
}

fn by_id<'a>(node: &'a mut Node, id: &str) -> Option<&'a mut Node> {
    let Content::Sequence(nodes) = &mut node.content else { return None };
    nodes.iter_mut().find(|item| item.get("id").is_some_and(|found| found.to_json() == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Node {
        Node::parse("seed: 7\npool:\n  - {id: mono}\nsteps:\n  - id: a\n    train: {steps: 5}\n").unwrap()
    }

    #[test]
    fn steps_and_teachers_are_reached_by_id() {
        let mut root = recipe();
        for assignment in ["a.train.steps=9", "pool.mono.price.output=0.2", "seed=8", "a.train.seeds=[1, 2]"] {
            apply(&mut root, assignment).unwrap();
        }
        let json = root.to_json();
        assert_eq!(json["steps"][0]["train"]["steps"], 9);
        assert_eq!(json["pool"][0]["price"]["output"], 0.2);
        assert_eq!(json["seed"], 8);
        assert_eq!(json["steps"][0]["train"]["seeds"][1], 2);
    }

    #[test]
    fn what_leads_nowhere_is_said() {
        assert!(apply(&mut recipe(), "b.train.steps=9").unwrap_err().what.contains("leads nowhere"));
        assert!(apply(&mut recipe(), "seed").unwrap_err().what.contains("no `=`"));
    }
}
