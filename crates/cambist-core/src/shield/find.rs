//! Where a part begins that no translation may touch, and where it ends.

use super::mark::mark_at;

/// Returns how many bytes from `at` on belong together and stay as they are; 0 when translating may go on here.
pub(super) fn span_at(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let before = text[..at].chars().next_back();
    let Some(c) = rest.chars().next() else { return 0 };
    let found = match c {
        '⟦' => mark_at(rest).map(|mark| mark.n_bytes),
        '`' => fence(rest, before, '`').or_else(|| inline_code(rest)),
        '~' => fence(rest, before, '~'),
        '$' => display_formula(rest).or_else(|| inline_formula(rest)),
        '\\' => between(rest, "\\(", "\\)").or_else(|| between(rest, "\\[", "\\]")),
        '{' => placeholder(rest),
        '%' => format_specifier(rest, before),
        '<' => tag(rest),
        '&' => entity(rest),
        _ if is_part_of_word(before) => None,
        'h' | 'H' | 'f' | 'F' | 'w' | 'W' => address(rest).or_else(|| mailbox(rest)),
        _ if c.is_ascii_alphanumeric() => mailbox(rest),
        _ => None,
    };
    found.unwrap_or(0)
}

fn is_part_of_word(before: Option<char>) -> bool {
    before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '@'))
}

/// From the opening fence at the beginning of a line to the end of the closing one, else to the end of the text.
fn fence(rest: &str, before: Option<char>, mark: char) -> Option<usize> {
    let n_marks = run(rest, mark);
    if n_marks < 3 || before.is_some_and(|c| c != '\n' && c != ' ') {
        return None;
    }
    let mut end = rest.find('\n')? + 1;
    for line in rest[end..].split_inclusive('\n') {
        let bare = line.trim();
        if run(bare, mark) >= n_marks && bare.trim_start_matches(mark).is_empty() {
            return Some(end + line.trim_end_matches(['\n', '\r']).len());
        }
        end += line.len();
    }
    Some(rest.len())
}

/// A run of backticks up to the next run of as many, inside of one paragraph.
fn inline_code(rest: &str) -> Option<usize> {
    let n_marks = run(rest, '`');
    let paragraph = rest.find("\n\n").map_or(rest, |end| &rest[..end]);
    let mut at = n_marks;
    while let Some(next) = paragraph.get(at..)?.find('`') {
        let closing = run(&paragraph[at + next..], '`');
        if closing == n_marks {
            return Some(at + next + closing);
        }
        at += next + closing;
    }
    None
}

fn display_formula(rest: &str) -> Option<usize> {
    between(rest, "$$", "$$").filter(|&n_bytes| n_bytes > "$$$$".len())
}

/// As Pandoc tells formulas from money: no space inside of the signs, no digit after the last one, one line.
fn inline_formula(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('$')?;
    let line = inside.lines().next()?;
    let closing = line.find('$').filter(|&closing| closing > 0)?;
    let formula = &line[..closing];
    let is_tight = !formula.starts_with(char::is_whitespace) && !formula.ends_with(char::is_whitespace);
    let is_money = line[closing + 1..].starts_with(|c: char| c.is_ascii_digit());
    (is_tight && !is_money).then_some(closing + 2)
}

fn between(rest: &str, open: &str, close: &str) -> Option<usize> {
    let end = rest.strip_prefix(open)?.find(close)?;
    Some(open.len() + end + close.len())
}

/// `{name}`, `{0}`, `{user.name:>8}` and `{{name}}`, and no set such as `{1, 2}`.
fn placeholder(rest: &str) -> Option<usize> {
    let n_open = run(rest, '{').min(2);
    let name = &rest[n_open..];
    let n_name = name.find(|c: char| !(c.is_ascii_alphanumeric() || "_.:-><#!$[]".contains(c)))?;
    let is_closed = n_name > 0 && name[n_name..].starts_with(&"}}"[..n_open]);
    is_closed.then_some(n_open + n_name + n_open)
}

/// `%s`, `%-5.2f`, `%2$d` and `%(name)s` as `printf` has them; what stands behind a number is a percentage.
fn format_specifier(rest: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_numeric() || c == '%') {
        return None;
    }
    let mut end = 1;
    if rest[end..].starts_with('(') {
        end += rest[end..].find(')')? + 1;
    }
    end += rest[end..].find(|c: char| !(c.is_ascii_digit() || ".$-+#*lhz".contains(c)))?;
    let kind = rest[end..].chars().next().filter(|c| "sdifuxXeEgGc@".contains(*c))?;
    end += kind.len_utf8();
    let is_word = rest[end..].starts_with(|c: char| c.is_alphanumeric());
    (!is_word).then_some(end)
}

/// `<b class="x">`, `</b>`, `<br/>` and comments.
fn tag(rest: &str) -> Option<usize> {
    if rest.starts_with("<!--") {
        return between(rest, "<!--", "-->");
    }
    let name = rest[1..].trim_start_matches('/');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let end = rest.find('>')?;
    let inside = &rest[1..end];
    (inside.len() < 400 && !inside.contains(['<', '\n'])).then_some(end + 1)
}

fn entity(rest: &str) -> Option<usize> {
    let end = rest.find(';').filter(|&end| (3..=10).contains(&end))?;
    let name = rest[1..end].strip_prefix('#').unwrap_or(&rest[1..end]);
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(end + 1)
}

/// An address of a page, without the punctuation of the sentence around it.
fn address(rest: &str) -> Option<usize> {
    let begins = |scheme: &&str| rest.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let scheme = ["https://", "http://", "ftp://", "www."].iter().find(|scheme| begins(scheme))?;
    let is_end = |c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>' | '"' | '`' | '\\' | '{' | '}' | '|' | '^');
    let mut address = &rest[..rest.find(is_end).unwrap_or(rest.len())];
    while let Some(last) = address.chars().next_back() {
        let closes_nothing = last == ')' && address.matches(')').count() > address.matches('(').count();
        if !closes_nothing && !".,;:!?'*_]".contains(last) {
            break;
        }
        address = &address[..address.len() - 1];
    }
    (address.len() > scheme.len()).then_some(address.len())
}

fn mailbox(rest: &str) -> Option<usize> {
    let is_local = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
    let name = rest.find(|c| !is_local(c)).filter(|&n| (1..=64).contains(&n))?;
    let domain = rest[name..].strip_prefix('@')?;
    let n_domain = domain.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).unwrap_or(domain.len());
    let domain = domain[..n_domain].trim_end_matches(['.', '-']);
    let (_, top) = domain.rsplit_once('.')?;
    (top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic())).then_some(name + 1 + domain.len())
}

/// How often `c` stands at the beginning.
fn run(text: &str, c: char) -> usize {
    text.len() - text.trim_start_matches(c).len()
}
