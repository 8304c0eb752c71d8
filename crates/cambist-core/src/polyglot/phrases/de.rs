//! German.

use super::Phrases;

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "de",
    other_locales: &[],
    comma: ", ",
    full_stop: ".",
    numerals: [
        "eins",
        "zwei",
        "drei",
        "vier",
        "fünf",
        "sechs",
        "sieben",
        "acht",
        "neun",
        "zehn",
        "elf",
        "zwölf",
        "dreizehn",
        "vierzehn",
        "fünfzehn",
        "sechzehn",
        "siebzehn",
        "achtzehn",
        "neunzehn",
        "zwanzig",
    ],
    plus: " plus ",
    minus: " minus ",
    spellings: &[],
    date_spellings: &[],
    copy_words: ["Wiederhole: {words}", "Schreibe diese Wörter ab: {words}", "Sag genau das: {words}"],
    reverse_digits: [
        "Drehe die Ziffern um: {digits}",
        "Schreibe {digits} rückwärts",
        "Die Ziffern von hinten nach vorn: {digits}",
    ],
    date_long: [
        "Schreibe das Datum aus: {date}",
        "Wie schreibt man dieses Datum aus? {date}",
        "{date} bitte als ausgeschriebenes Datum",
    ],
    number_format: [
        "Formatiere die Zahl: {number}",
        "Schreibe {number} mit Trennzeichen",
        "Gliedere die Zahl: {number}",
    ],
    percent_format: ["Schreibe {number} in Prozent", "In Prozent: {number}", "Wie viel Prozent sind {number}?"],
    currency_format: [
        "Formatiere den Betrag: {amount}",
        "Schreibe den Preis mit Symbol: {amount}",
        "Wie schreibt man diesen Preis? {amount}",
    ],
    join_list: [
        "Verbinde zu einer Aufzählung: {items}",
        "Zähle auf, mit „und“: {items}",
        "Schreibe als Aufzählung: {items}",
    ],
    country_names: ["Welche Länder sind das? {codes}", "Nenne die Länder: {codes}", "Ländernamen zu {codes}"],
    language_names: ["Welche Sprachen sind das? {codes}", "Nenne die Sprachen: {codes}", "Sprachnamen zu {codes}"],
    month_names: [
        "Nenne die Monate: {numbers}",
        "Welche Monate sind das? {numbers}",
        "Schreibe als Monatsnamen: {numbers}",
    ],
    relative_time: [
        "Sag es von jetzt aus gesehen: {shift}",
        "Als relative Zeitangabe: {shift}",
        "Wann ist das, von jetzt aus? {shift}",
    ],
    unit_name: [
        "Schreibe die Einheit aus: {quantity}",
        "Die Einheit als Wort: {quantity}",
        "{quantity}: Schreibe die Einheit als Wort",
    ],
    sort_names: [
        "Sortiere alphabetisch: {names}",
        "Ordne nach dem Alphabet: {names}",
        "Ordne wie im Wörterbuch: {names}",
    ],
    number_words: ["Antworte in Worten: {sum}", "Wie viel ist {sum}? In Worten.", "Rechne aus, in Worten: {sum}"],
    addition: ["Rechne: {sum}", "Wie viel ist {sum}?", "Rechne aus: {sum}"],
    unit_conversion: [
        "Rechne um: {quantity} = ? {unit}",
        "Andere Einheit: {quantity} = ? {unit}",
        "Wie viel ist das? {quantity} = ? {unit}",
    ],
    month_shift: [
        "Welcher Monat ist das? {month} {shift}",
        "Nenne den Monat: {month} {shift}",
        "Bestimme den Monat: {month} {shift}",
    ],
    weekday_shift: [
        "Welcher Wochentag ist das? {weekday} {shift}",
        "Nenne den Wochentag: {weekday} {shift}",
        "Bestimme den Wochentag: {weekday} {shift}",
    ],
    weekday_of_date: [
        "Welcher Wochentag ist der {date}?",
        "Nenne den Wochentag: {date}",
        "Auf welchen Wochentag fällt der {date}?",
    ],
    date_shift: [
        "Welches Datum ist das? {date} {shift}",
        "Berechne das Datum: {date} {shift}",
        "Bestimme das Datum: {date} {shift}",
    ],
};
