"""Recomputes polyglot's answers with the ICU of C, from the parameters alone.

    cargo run -p cambist-core --example polyglot -- 160 9 | python polyglot_icu.py > polyglot_icu.json

Made with Python 3.11, PyICU 2.17 on ICU 72.1 (CLDR 42).
"""

import datetime
import json
import sys

import icu

UTC = icu.TimeZone.createTimeZone("UTC")
# CLDR 42 writes `ar` with Arabic-Indic digits, CLDR 49 with European ones: ask for what CLDR 49 has as its default.
LOCALES = {tag: icu.Locale(tag) for tag in "de en es fr ja ru tr uk zh".split()} | {"ar": icu.Locale("ar@numbers=latn")}
COMMAS = dict.fromkeys("de en es fr ru tr uk".split(), ", ") | {"ar": "، ", "ja": "、", "zh": "、"}
PERIODS = {
    "minute": icu.URelativeDateTimeUnit.MINUTE,
    "hour": icu.URelativeDateTimeUnit.HOUR,
    "day": icu.URelativeDateTimeUnit.DAY,
    "week": icu.URelativeDateTimeUnit.WEEK,
    "month": icu.URelativeDateTimeUnit.MONTH,
    "year": icu.URelativeDateTimeUnit.YEAR,
}


def camel(kebab):
    return "".join(part.capitalize() for part in kebab.split("-"))


def date_of(day):
    return datetime.date(day["year"], day["month"], day["day"])


def long_date(date, locale):
    form = icu.DateFormat.createDateInstance(icu.DateFormat.LONG, locale)
    form.setTimeZone(UTC)
    return form.format((date - datetime.date(1970, 1, 1)).days * 86400.0)


def month(number, locale):
    symbols = icu.DateFormatSymbols(locale)
    return symbols.getMonths(icu.DateFormatSymbols.STANDALONE, icu.DateFormatSymbols.WIDE)[(number - 1) % 12]


def weekday(number, locale):
    """From 1, Monday; ICU counts from 1, Sunday."""
    symbols = icu.DateFormatSymbols(locale)
    return symbols.getWeekdays(icu.DateFormatSymbols.STANDALONE, icu.DateFormatSymbols.WIDE)[number % 7 + 1]


def number(text, locale):
    return icu.NumberFormatter.withLocale(locale).formatDecimal(text.encode())


def name(row, locale):
    (kind, code), = row.items()
    if kind == "country":
        return icu.Locale("und", code).getDisplayCountry(locale)
    if kind == "language":
        return icu.Locale(code).getDisplayLanguage(locale)
    return (month if kind == "month" else weekday)(code, locale)


def joined(names, locale):
    return icu.ListFormatter.createInstance(locale).format(names)


def percent(text, locale):
    form = icu.NumberFormat.createPercentInstance(locale)
    form.setMaximumFractionDigits(1)
    return form.format(float(text) / 100)


def money(row, locale):
    currency = icu.CurrencyUnit(row["currency"])
    return icu.NumberFormatter.withLocale(locale).unit(currency).formatDecimal(row["number"].encode())


def unit(text, kind, width, locale):
    measure = getattr(icu.MeasureUnit, "create" + camel(kind))()
    return icu.NumberFormatter.withLocale(locale).unit(measure).unitWidth(width).formatDecimal(text.encode())


def spelled(value, locale):
    form = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, locale)
    return form.format(value, "%spellout-numbering")


def answer(task, given, tag):
    locale = LOCALES[tag]
    match task:
        case "copy-words":
            return COMMAS[tag].join(name(row, locale) for row in given)
        case "reverse-digits":
            return given[::-1]
        case "date-long":
            return long_date(date_of(given), locale)
        case "number-format":
            return number(given, locale)
        case "percent-format":
            return percent(given, locale)
        case "currency-format":
            return money(given, locale)
        case "join-list":
            return joined([name(row, locale) for row in given], locale)
        case "country-names":
            return joined([name({"country": code}, locale) for code in given], locale)
        case "language-names":
            return joined([name({"language": code}, locale) for code in given], locale)
        case "month-names":
            return joined([month(row, locale) for row in given], locale)
        case "relative-time":
            return icu.RelativeDateTimeFormatter(locale).formatNumeric(given["count"], PERIODS[given["period"]])
        case "unit-name":
            return unit(given["number"], given["unit"], icu.UNumberUnitWidth.FULL_NAME, locale)
        case "sort-names":
            collator = icu.Collator.createInstance(locale)
            return COMMAS[tag].join(sorted((name(row, locale) for row in given), key=collator.getSortKey))
        case "number-words":
            return spelled(sum(given), locale)
        case "addition":
            return number(str(sum(given)), locale)
        case "unit-conversion":
            count, conversion = given
            return unit(str(count * conversion["factor"]), conversion["to"], icu.UNumberUnitWidth.SHORT, locale)
        case "month-shift":
            return month(given[0] + given[1]["count"], locale)
        case "weekday-shift":
            return weekday(given[0] + given[1]["count"], locale)
        case "weekday-of-date":
            return weekday(date_of(given).isoweekday(), locale)
        case "date-shift":
            day, shift = given
            days = shift["count"] * (7 if shift["period"] == "week" else 1)
            return long_date(date_of(day) + datetime.timedelta(days=days), locale)


def main():
    lines = []
    for line in map(json.loads, sys.stdin):
        (task, given), = line["parameters"].items()
        answers = {tag: answer(task, given, tag) for tag in sorted(LOCALES)}
        lines.append(json.dumps({"id": line["id"], "answers": answers}, ensure_ascii=False))
    print("[\n" + ",\n".join(lines) + "\n]")


main()
