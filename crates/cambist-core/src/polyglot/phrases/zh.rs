//! Chinese in simplified characters.

use super::{Phrases, Spelling};

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "zh",
    other_locales: &[],
    comma: "、",
    full_stop: "。",
    numerals: [
        "一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二", "十三", "十四", "十五", "十六",
        "十七", "十八", "十九", "二十",
    ],
    plus: "加",
    minus: "减",
    spellings: &[
        Spelling::Anywhere(" ", ""),
        Spelling::Spaced,
        Spelling::Anywhere("秒钟", "秒"),
        Spelling::Anywhere("千克", "公斤"),
    ],
    date_spellings: &[],
    copy_words: ["重复：{words}", "抄写这些词：{words}", "原样说出：{words}"],
    reverse_digits: ["把数字倒过来：{digits}", "倒着写：{digits}", "数字的逆序：{digits}"],
    date_long: ["写出完整日期：{date}", "这个日期怎么写？{date}", "用年月日表示：{date}"],
    number_format: ["写成规范的数字格式：{number}", "加上分隔符：{number}", "给数字分组：{number}"],
    percent_format: ["写成百分数：{number}", "用百分数表示：{number}", "这是百分之几？{number}"],
    currency_format: ["写成规范的金额：{amount}", "用货币符号写价格：{amount}", "这个价格怎么写？{amount}"],
    join_list: ["连成一个列表：{items}", "用“和”连接：{items}", "写成并列的形式：{items}"],
    country_names: ["这些是哪些国家？{codes}", "写出国家名称：{codes}", "国家的名称：{codes}"],
    language_names: ["这些是哪些语言？{codes}", "写出语言名称：{codes}", "语言的名称：{codes}"],
    month_names: ["用汉字写出月份：{numbers}", "这是哪几个月？用汉字写：{numbers}", "月份的汉字名称：{numbers}"],
    relative_time: ["以现在为基准表达：{shift}", "用相对时间表示：{shift}", "从现在算是什么时候？{shift}"],
    unit_name: ["写出单位全称：{quantity}", "单位用汉字表示：{quantity}", "用汉字写单位：{quantity}"],
    sort_names: ["按拼音排序：{names}", "按拼音顺序排列：{names}", "像词典那样按拼音排：{names}"],
    number_words: ["用汉字回答：{sum}", "{sum}等于几？用汉字写。", "计算并用汉字写：{sum}"],
    addition: ["计算：{sum}", "{sum}等于多少？", "求结果：{sum}"],
    unit_conversion: [
        "换算：{quantity} = ? {unit}",
        "换个单位：{quantity} = ? {unit}",
        "等于多少？{quantity} = ? {unit}",
    ],
    month_shift: ["这是几月？用汉字写：{month} {shift}", "写出月份：{month} {shift}", "推算月份：{month} {shift}"],
    weekday_shift: ["这是星期几？{weekday} {shift}", "写出星期几：{weekday} {shift}", "推算星期几：{weekday} {shift}"],
    weekday_of_date: ["这天是星期几？{date}", "写出星期几：{date}", "查一查是星期几：{date}"],
    date_shift: ["这是哪一天？{date} {shift}", "算出日期：{date} {shift}", "推算日期：{date} {shift}"],
};
