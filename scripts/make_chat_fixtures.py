#!/usr/bin/env python3
"""Renders small templates, one for each construct, as transformers renders a model's chat template.

Needs transformers and jinja2 3.1.6. Writes Tests/JinjaTests/Fixtures/constructs.json: for each template its variables
and the text, or the error. The tests hold the interpreter to it.
"""

import datetime
import json
import pathlib

import transformers.utils.chat_template_utils as chat

ROOT = pathlib.Path(__file__).resolve().parent.parent


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 7, 4, 12, 0, 0)


chat.datetime = FixedDate

TIDES = {
    "name": "Brest", "heights": [4.5, 1, 6.25, -0.5], "is_open": True, "master": None, "boats": 3,
    "pilots": [{"name": "Ann", "age": 40, "port": {"code": "BES"}}, {"name": "bob", "age": 25, "port": {"code": "LEH"}},
               {"name": "Cid", "age": 40}],
    "deep": {"a": {"b": [1, [2, [3]]]}}, "text": "  Ébb & <flow>\n\n  it's \"so\" é🌊\t", "empty": "", "nothing": [],
    "words": ["spring", "neap", "Spring", "slack"], "zeta": {"b": 1, "a": 2, "C": 3},
}

# Templates by what they show.
TEMPLATES = """
{# White space around tags #}
{% if true %}
  yes
{% endif %}
end
=====
a
  {% if true %}  b
  {% endif %} c
=====
a
  {%- if true -%}
  b
  {%- endif -%}
  c
=====
a
  {%+ if true %}
  b
  {%+ endif +%}
c
=====
a {{- " x " -}} b {{ "y" }}
c
=====
a {#- note -#} b {# note #}
c {#+ note +#}
d
=====
{# note over
two lines #}
  {# indented #}
x
=====
{% raw %}{{ not }} {% code %}{% endraw %}!
=====
a  {%- raw -%}  {{ x }}  {%- endraw -%}  b
=====
one
  {% raw %}
two {{ x }}
  {% endraw %}
three
=====
{{ "a" }}
{{ "b" }}

=====
x{% set a = 1 %}

y
=====
{% for x in [1, 2] -%}
  {{ x }}
{% endfor %}
=====
{% for x in [1, 2] %}
{{ x }}
{%- endfor +%}
z
=====
{{ '''' }}|{{ 'a' 'b' "c" }}|{{ 'it\\'s' }}|{{ "q\\"q" }}|{{ '\\n\\t\\\\ \\x41 \\u00e9 \\U0001F30A \\101 \\q' }}
=====
{# Literals #}
{{ 1 }} {{ -1 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 2E+20 }} {{ 00 }}
=====
{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ [1, 'a', none, true, 1.0] }} {{ (1,) }} {{ (1, 2) }} {{ () }}
=====
{{ {'a': 1, "b": [2], 3: {'c': none}} }} {{ {} }} {{ [] }} {{ {'a': 1,} }} {{ [1,] }}
=====
{{ "it's" }} {{ ["it's", 'say "hi"', 'both \\' and "', 'a\\nb\\tc\\\\d', 'é🌊', '\\x00\\x1f\\x7f\\xa0\\u200b\\u2028\\ue000'] }}
=====
{{ 1.0 }} {{ 100000.0 }} {{ 1e15 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e22 }} {{ 0.1 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e-7 }} {{ 1.5e300 }} {{ 0.1 + 0.2 }} {{ 1/3 }} {{ 2/1 }} {{ -0.0 }} {{ 1e300 * 1e10 }} {{ 5e-324 }} {{ 9007199254740993.0 }}
=====
{# Arithmetic #}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ 2.0 ** 0.5 }} {{ -2 ** 2 }} {{ 7 / 2 }}
=====
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 1 + true }} {{ true + true }} {{ 3 * 'ab' }} {{ 'ab' * 2 }} {{ [1] * 3 }} {{ (1,) * 2 }} {{ 'a' * -1 }} {{ [1] + [2] }} {{ (1,) + (2,) }}
=====
{{ 'a' ~ 1 ~ none ~ 2.0 ~ true ~ [1] ~ undefined_name ~ 'z' }} {{ 1 ~ 2 * 3 }}
=====
{{ '1' + 2 ~ 3 }} {{ 'a' + 'b' ~ 'c' }} {{ 2 * 3 ~ 4 }}
=====
{{ -3|abs }} {{ +3 }} {{ -(3) }} {{ - 3 + 5 }} {{ not true }} {{ not not 1 }} {{ not 0 == 1 }}
=====
{{ 9223372036854775807 }} {{ -9223372036854775807 }}
=====
{# Comparison #}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ 'a' == 'a' }} {{ [1, 2] < [1, 3] }} {{ (1, 'a') == (1, 'a') }} {{ [1] == (1,) }} {{ 1 != 2 }} {{ none == none }} {{ {'a': 1} == {'a': 1.0} }} {{ 2 >= 2 > 1 }}
=====
{{ 1 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'cat' }} {{ 'a' in {'a': 1} }} {{ 1 in {'a': 1} }} {{ '' in 'a' }} {{ 2 in range(3) }} {{ 'x' in nothing_here }} {{ 1 in (1, 2) }} {{ not 1 in [2] }} {{ 'b' in zeta.keys() }} {{ 2 in zeta.values() }} {{ ('b', 1) in zeta.items() }}
=====
{{ 1 and 2 }} {{ 0 and 2 }} {{ 1 or 2 }} {{ '' or 'x' }} {{ none or [] or 0 }} {{ 1 and 0 or 3 }} {{ not 1 or 2 }} {{ true and not false }}
=====
{{ 'a' if true else 'b' }} {{ 'a' if false else 'b' }} [{{ 'a' if false }}] {{ 'a' if 0 else 'b' if 0 else 'c' }} {{ ('a' if false) is undefined }} {{ 1 + (2 if true else 3) }}
=====
{# Undefined #}
[{{ missing }}] [{{ missing|default('d') }}] {{ missing is defined }} {{ missing is undefined }} {{ missing == other_missing }} {{ missing == none }} {{ not missing }} {{ missing|length }} {{ missing|list }} {{ missing|join(',') }} [{{ missing|upper }}] {% for x in missing %}x{% else %}none{% endfor %}
=====
{{ missing.attribute }}
=====
{{ missing['key'] }}
=====
{{ missing() }}
=====
{{ missing + 1 }}
=====
{{ 1 + missing }}
=====
{{ missing < 1 }}
=====
{{ zeta.missing }}|{{ zeta['missing'] }}|{{ zeta.missing is defined }}|{{ [1][5] }}|{{ 'abc'[9] }}|{{ (none).x }}|{{ 5 .x }}|{{ boats.x }}
=====
{{ zeta.missing.more }}
=====
{{ master.name }}{{ master['name'] }}{{ master[0] }}
=====
{{ master.name.first }}
=====
{# Subscripts #}
{{ words[0] }} {{ words[-1] }} {{ words.1 }} {{ 'hello'[1] }} {{ 'hello'[-1] }} {{ 'é🌊x'[1] }} {{ deep.a.b[1][1][0] }} {{ deep['a']['b'] }} {{ pilots[0].port.code }} {{ range(10)[3] }} {{ (1, 2)[1] }} {{ [1, 2][true] }} {{ {1: 'x'}[1.0] }} {{ {(1, 2): 'y'}[1, 2] }}
=====
{{ words[1:] }} {{ words[:-1] }} {{ words[::-1] }} {{ words[::2] }} {{ words[3:0:-1] }} {{ words[-2:] }} {{ words[5:] }} {{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[-3:-1] }} {{ 'é🌊x'[1:] }} {{ 'é🌊xyz'[::-2] }} {{ (1, 2, 3)[1:] }} {{ range(10)[2:5]|list }} {{ words[none:2] }} {{ words[:] == words }} {{ 'abc'[2:1] }}
=====
{{ zeta[1:2] }}
=====
{{ master[1:2] }}
=====
{{ 'abc'[::0] }}
=====
{{ name['a':] }}
=====
{% set d = {'items': 5, 'keys': 6} %}{{ d['items'] }} {{ d.items() | list }} {{ d['keys'] }} {{ d['values']() | list }}
=====
{{ 'abc'.__class__ }}|{{ 'abc'['__class__'] }}|{{ [].append is defined }}|{{ zeta.update is defined }}|{{ zeta._x }}
=====
{{ ''.__class__.__mro__ }}
=====
{{ [].append(1) }}
=====
{{ zeta.update({'x': 1}) }}
=====
{{ zeta.pop('a') }}
=====
{{ words.foo() }}
=====
{# Set and scopes #}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}
=====
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
=====
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set e = 1, %}{{ e }}
=====
{% set a, b = [1] %}
=====
{% set a, b = [1, 2, 3] %}
=====
{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.n }} {{ ns.l }} {{ ns['n'] }} [{{ ns.other }}] {{ ns.other is defined }}
=====
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns.a, x = 5, 6 %}{{ ns.a }}{{ x }}
=====
{% set ns = namespace() %}{% set ns._x = 1 %}
=====
{% set zeta.x = 1 %}
=====
{% set nope.x = 1 %}
=====
{% set x %}  block {{ 1 + 1 }} {% endset %}[{{ x }}]{{ x|length }}
=====
{% set x | upper | trim %}  block {% endset %}[{{ x }}]
=====
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}[{{ a }}{{ c }}]
=====
{% with %}{% set q = 1 %}{{ q }}{% endwith %}[{{ q }}]
=====
{% set x = 1 %}{% block body %}{{ x }}{% set x = 2 %}{{ x }}{% endblock %}{{ x }}
=====
{% for i in [1] %}{% block inner %}[{{ i }}]{% endblock %}{% endfor %}{% for i in [1] %}{% block scoped_one scoped %}[{{ i }}]{% endblock %}{% endfor %}
=====
{% filter upper %}abc {{ name }}{% endfilter %} {% filter replace('a', 'b') | indent(2, true) %}a
a{% endfilter %}
=====
{% set x = 1 %}{% filter upper %}{% set x = 2 %}{{ x }}{% endfilter %}{{ x }}
=====
{% generation %}said {{ name }}{% set y = 1 %}{% endgeneration %}[{{ y }}]
=====
{# Loops #}
{% for x in words %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.depth }}/{{ loop.cycle('a', 'b', 'c') }}/{{ loop.previtem }}/{{ loop.nextitem }}/{{ loop.changed(x|lower) }}
{% endfor %}
=====
{% for x in words if x != 'neap' %}{{ loop.index }}{{ x }}{{ loop.last }} {% endfor %}
=====
{% for x in [] %}x{% else %}empty{% endfor %} {% for x in [1] if x > 1 %}x{% else %}none{% endfor %}
=====
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
=====
{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}
=====
{% for k, v in zeta.items() %}{{ k }}={{ v }};{% endfor %}{% for k in zeta %}{{ k }}{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
=====
{% for a, b in [[1, 2, 3]] %}{% endfor %}
=====
{% for c in 'héy' %}[{{ c }}]{% endfor %}{% for x in (1, 2) %}{{ x }}{% endfor %}{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(5, 0, -2) %}{{ x }}{% endfor %}
=====
{% for x in 5 %}{% endfor %}
=====
{% for x in none %}{% endfor %}
=====
{% for item in [{'v': 1, 'c': [{'v': 2, 'c': [{'v': 3}]}]}, {'v': 4}] recursive %}{{ item.v }}@{{ loop.depth }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %}
=====
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
=====
{{ loop }}{% for x in [1, 2] %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}{{ loop }}
=====
{% for x in [3, 1, 2]|sort %}{{ x }}{% endfor %}{% for x in words|map('upper') %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}
=====
{% set found = false %}{% for x in [1, 2] %}{% if x == 2 %}{% set found = true %}{% endif %}{% endfor %}{{ found }}
=====
{% for x in [1, 2, 3] %}{% set y %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endset %}{{ y }}{% endfor %}
=====
{# Macros #}
{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(a=5, b=6) }}{{ m() }}{{ m.name }} {{ m.arguments }} {{ m.catch_kwargs }}
=====
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}
=====
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}
=====
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
=====
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=1) }}
=====
{% macro m(a) %}{{ a is defined }}{{ a|default('none') }}{% endmacro %}{{ m() }}
=====
{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}{% set x = 6 %}{{ m() }}
=====
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n }}*{{ fact(n - 1) }}{% endif %}{% endmacro %}{{ fact(5) }}
=====
{% macro box(title) %}<{{ title }}>{{ caller() }}</{{ title }}>{% endmacro %}{% call box('b') %}inner {{ name }}{% endcall %}
=====
{% macro each(items) %}{% for i in items %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(x, n=0) each([5, 6]) %}[{{ x }}:{{ n }}]{% endcall %}
=====
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
=====
{% macro m() %}no{% endmacro %}{% call m() %}x{% endcall %}
=====
{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
=====
{% macro m() %}{% set inner = 1 %}{{ inner }}{% endmacro %}{{ m() }}[{{ inner }}]{{ m()|length }} {{ m() + '!' }}
=====
{% macro m(items) %}{{ items|join(',') }}{% endmacro %}{{ m(*[[1, 2]]) }}{{ m(**{'items': [3]}) }}
=====
{# Globals #}
{{ range(3) }} {{ range(1, 4)|list }} {{ range(0, 10, 3)|list }} {{ range(3, 0, -1)|list }} {{ range(0)|list }} {{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('p', 1)]) }} {{ dict.fromkeys(['a', 'b'], 0) }} {{ range(5)|length }}
=====
{{ range(200000) }}
=====
{{ range(1, 2, 0) }}
=====
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }} {% set j = joiner('|') %}{{ j() }}a{{ j() }}b
=====
{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %Y %A %B %j %p %% %y %f') }}
=====
{{ raise_exception('stop: ' ~ name) }}
=====
{% if raise_exception is defined %}yes{% endif %}{{ raise_exception is callable }}{{ range is callable }}{{ name is callable }}
=====
{# Tests #}
{{ 1 is odd }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ none is none }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ 1 is number }} {{ true is number }} {{ 'a' is number }}
=====
{{ 'a' is string }} {{ 1 is string }} {{ {} is mapping }} {{ [] is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ 1 is sequence }} {{ range(2) is sequence }} {{ zeta.items() is sequence }} {{ 1 is iterable }} {{ 'a' is iterable }} {{ zeta.items() is iterable }} {{ missing is sequence }} {{ missing is iterable }} {{ words|map('upper') is sequence }} {{ words|map('upper') is iterable }}
=====
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'aBc' is lower }} {{ 1 is lower }} {{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 2 is le 1 }} {{ 1 is in [1, 2] }} {{ 1 is not in [1] }} {{ 1 is not odd }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ '<'|e is escaped }} {{ 1 is greaterthan 0 }} {{ 1 is lessthan(0) }}
=====
{{ name is defined and name is string }} {{ not name is defined }} {{ 'x' if name is string else 'y' }} {{ name is defined or missing }} {{ (name is string) == true }}
=====
{{ name is unheard_of }}
=====
{% if false %}{{ 1|unheard_of }}{% endif %}{{ 1|unheard_of if false else 2 }}
=====
{{ 1|unheard_of }}
=====
{# Filters #}
{{ -5|abs }} {{ -2.5|abs }} {{ 'hELLO wORLD'|capitalize }} {{ 'hello wORLD-foo (bar)'|title }} {{ 'a'|center(5) }}| {{ 'ab'|center(5) }}| {{ [1, 2]|count }} {{ 'ÄÖß'|upper }} {{ 'ÄÖ'|lower }} {{ 'ΑΣ ΣΑ'|lower }} {{ 'x'|d('y') }} {{ ''|d('y', true) }} {{ none|default('n') }} {{ none|default('n', true) }} {{ 0|default(5, boolean=true) }}
=====
{{ zeta|dictsort }} {{ zeta|dictsort(true) }} {{ zeta|dictsort(false, 'value') }} {{ zeta|dictsort(reverse=true) }}
=====
{{ '<a href="x">\\'&'|e }} {{ ('<'|safe) + '<' }} {{ '<' + ('<'|safe) }} {{ ('<'|e)|length }} {{ '<'|forceescape }} {{ ('<b>'|safe) ~ '<i>' }} {{ ('%s'|safe) % '<' }}
=====
{{ [1, 2, 3]|first }} {{ [1, 2, 3]|last }} [{{ []|first }}] [{{ []|last }}] {{ 'abc'|first }} {{ zeta|first }} {{ zeta|last }} {{ words|map('upper')|first }}
=====
{{ words|map('upper')|last }}
=====
{{ '3.7'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 3|float }} {{ '42'|int }} {{ '42.9'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ '0x1F'|int(0, 16) }} {{ '101'|int(base=2) }} {{ 3.99|int }} {{ -3.99|int }} {{ true|int }} {{ none|int }} {{ ' 12 '|int }} {{ '1_0'|int }} {{ '1e3'|int }} {{ '1e3'|float }} {{ 'inf'|float }} {{ 'nan'|float }}
=====
{{ '%s is %d years, %.2f %5s|%-5s|%05d %x %X %o %e %g %% %r %+d %c %i' % ('Ann', 40.9, 3.14159, 'a', 'b', 42, 255, 255, 8, 12345.678, 0.0001, 'q', 5, 'z', 7) }}
=====
{{ '%(a)s %(b)03d' % {'a': 1, 'b': 2} }} {{ '%s'|format('x') }} {{ '%(k)s'|format(k='v') }} {{ '%s' % [1, 2] }} {{ '%s' % none }} {{ '%5.1f|%-8.3e|%G' % (2.25, 1234.5, 1e-10) }} {{ '%#x %#o' % (255, 8) }} {{ '%.3s' % 'abcdef' }} {{ '%*d' % (5, 42) }}
=====
{{ '%s %s' % 'a' }}
=====
{{ 'x' % 5 }}
=====
{{ '%d' % 'a' }}
=====
{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a} {b.name} {c[0]} {d[k]}'.format(a=1, b=pilots[0], c=[5], d={'k': 'v'}) }} {{ '{{}} {!r} {!s}'.format('q', 'q') }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {:,} {:x} {:#x} {:b} {:e} {:.2f} {:.1%} {:g} {:_}'.format(42, 5, 1234567, 255, 255, 5, 12345.678, 3.14159, 0.256, 0.00001, 1000000) }} {{ '{:{w}}|'.format('a', w=4) }} {{ '{:.2}'.format('abc') }} {{ '{:8.3f}|'.format(3.14159) }} {{ '{}'.format(none) }} {{ '{:>6}'.format(true) }} {{ '{:d}'.format(true) }} {{ '{:.3}'.format(2.0) }} {{ '{:010.2f}'.format(-3.14159) }}
=====
{{ '{}'.format() }}
=====
{{ '{x}'.format(1) }}
=====
{{ '{'.format(1) }}
=====
{{ '{0.__class__}'.format(1) }}
=====
{% for g in pilots|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }} {% endfor %}{% for age, people in pilots|groupby('age') %}{{ age }}{{ people|length }}{% endfor %} {% for c, p in pilots|groupby('port.code', default='-') %}{{ c }}{{ p|length }}{% endfor %} {% for w, l in words|groupby(0) %}{{ w }}{{ l }}{% endfor %}
=====
{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent(2, false, true) }}|{{ 'a\\nb'|indent('> ') }}|{{ 'a\\n'|indent(1) }}|{{ ''|indent(2, true) }}
=====
{{ [1, 'a', none, 2.5]|join }} {{ [1, 2]|join(', ') }} {{ pilots|join('/', attribute='name') }} {{ 'abc'|join('-') }} {{ zeta|join }} {{ [[1], {'a': 1}]|join(' ') }}
=====
{{ 'abc'|length }} {{ 'é🌊'|length }} {{ zeta|length }} {{ range(4)|length }} {{ 'abc'|list }} {{ zeta|list }} {{ zeta.items()|list }} {{ zeta.keys() }} {{ zeta.values() }} {{ zeta.items() }}
=====
{{ words|map('upper')|length }}
=====
{{ 5|length }}
=====
{{ words|map('length')|list }} {{ pilots|map(attribute='name')|list }} {{ pilots|map(attribute='port.code', default='?')|list }} {{ words|map('replace', 's', 'S')|join(' ') }} {{ words|map('default')|list }} {{ [[1, 2], [3]]|map('sum')|list }} {{ pilots|map(attribute='missing')|list }} {{ [{'a': [7]}]|map(attribute='a.0')|list }}
=====
{{ words|map }}{{ words|map()|list }}
=====
{{ [3, 1, 2]|min }} {{ [3, 1, 2]|max }} {{ words|min }} {{ words|max }} {{ pilots|max(attribute='age') }} [{{ []|min }}] {{ ['b', 'A']|min }} {{ ['b', 'A']|min(true) }}
=====
{{ [1, 'a']|max }}
=====
{{ [0, 1, '', 'a', none]|select|list }} {{ [1, 2, 3, 4]|select('even')|list }} {{ [1, 2, 3, 4]|reject('even')|list }} {{ [1, 5]|select('gt', 2)|list }} {{ pilots|selectattr('age', 'equalto', 40)|map(attribute='name')|list }} {{ pilots|rejectattr('age', 'eq', 40)|map(attribute='name')|list }} {{ pilots|selectattr('port')|list|length }} {{ pilots|selectattr('port', 'undefined')|list }} {{ pilots[:2]|selectattr('port.code', '==', 'BES')|list }} {{ words|select('in', ['neap'])|list }}
=====
{{ 'abab'|replace('a', 'x') }} {{ 'abab'|replace('a', 'x', 1) }} {{ 'ab'|replace('', '-') }} {{ 123|replace('2', 'x') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'é🌊é'|replace('é', 'e') }} {{ 'x'|replace('y', 'z') }}
=====
{{ 'abc'|reverse }} {{ [1, 2]|reverse|list }} {{ range(3)|reverse|list }} {{ zeta|reverse|list }} {{ 'é🌊'|reverse }}
=====
{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 42|round }} {{ 2.5|round }} {{ 3.5|round }} {{ 0.125|round(2) }} {{ 1234|round(-2) }} {{ 1234.5|round(-2) }} {{ -2.5|round(0, 'ceil') }} {{ 2.675|round(2) }} {{ 1e20|round }}
=====
{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ [1, 3, 2]|sort(reverse=true) }} {{ pilots|sort(attribute='age')|map(attribute='name')|list }} {{ pilots|sort(attribute='age,name', reverse=true)|map(attribute='name')|list }} {{ zeta|sort }} {{ 'cab'|sort }}
=====
{{ [1, 'a']|sort }}
=====
{{ [1, [2]]|sort }}
=====
{{ [1, 1, 2, 1.0, true]|unique|list }} {{ words|unique|list }} {{ words|unique(true)|list }} {{ pilots|unique(attribute='age')|map(attribute='name')|list }}
=====
{{ [[1]]|unique|list }}
=====
{{ 5|string + 'x' }} {{ [1]|string }} {{ none|string }} {{ [1, 2, 3]|sum }} {{ [1.5, 2]|sum }} {{ pilots|sum(attribute='age') }} {{ [[1], [2]]|sum(start=[]) }} {{ []|sum }}
=====
{{ ['a']|sum }}
=====
{{ range(7)|batch(3)|list }} {{ range(7)|batch(3, 'x')|list }} {{ range(7)|slice(3)|list }} {{ range(7)|slice(3, 'x')|list }}
=====
{{ '  a b '|trim }}| {{ 'xxaxx'|trim('x') }} {{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }} {{ 'a b  c_d é'|wordcount }} {{ 'a b/c?d=é&f'|urlencode }} {{ {'a b': 'c/d', 'e': 1}|urlencode }} {{ '<b>a</b>  <!-- x --> c'|striptags }} {{ {'class': 'a b', 'id': none, 'x': '<'}|xmlattr }} {{ 1000|filesizeformat }} {{ 1|filesizeformat }} {{ 123456789|filesizeformat }} {{ 2048|filesizeformat(true) }}
=====
{{ pilots[0]|attr('name') }}|{{ 'abc'|attr('upper')() }}|{{ zeta|items|list }}|{{ missing|items|list }}
=====
{{ 5|items|list }}
=====
{# JSON #}
{{ zeta|tojson }} {{ [1, 2.0, true, none, 'é"\\\\\\n\\t\\x01/<>&\\'']|tojson }} {{ (1, 2)|tojson }} {{ {}|tojson }} {{ []|tojson }} {{ 'x'|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ 1e16|tojson }} {{ ('inf'|float)|tojson }}
=====
{{ deep|tojson(indent=2) }}
{{ zeta|tojson(indent=1, sort_keys=true) }} {{ zeta|tojson(separators=(',', ':')) }} {{ 'é🌊'|tojson(ensure_ascii=true) }} {{ [1, [], {}]|tojson(indent=0) }} {{ [1]|tojson(indent='--') }} {{ zeta|tojson(false, 2, (' ,', ' : '), true) }} {{ [1, {'a': 2}]|tojson(indent=4, separators=(', ', ': ')) }}
=====
{{ missing|tojson }}
=====
{{ {'a': range(2)}|tojson }}
=====
{{ {(1, 2): 3}|tojson }}
=====
{{ words|map('upper')|tojson }}
=====
{# Methods of strings #}
[{{ '  a '.strip() }}] [{{ '  a '.lstrip() }}] [{{ '  a '.rstrip() }}] {{ 'xyaxy'.strip('xy') }} {{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ' a  b c  '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a,b'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a b'.split(maxsplit=1) }} {{ 'a\\nb\\r\\nc\\n'.splitlines() }} {{ 'a\\nb\\n'.splitlines(true) }}
=====
{{ 'a'.split('') }}
=====
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('c') }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ 'abcabc'.rfind('b') }} {{ 'abcabc'.index('c') }} {{ 'é🌊x'.find('x') }} {{ 'aXbX'.count('X') }} {{ 'aaa'.count('aa') }} {{ 'ab'.count('') }} {{ 'abcb'.find('b', 2) }} {{ 'abcb'.find('b', -1) }} {{ 'abc'.find('') }} {{ 'abcb'.rindex('b') }}
=====
{{ 'abc'.index('x') }}
=====
{{ 'abc'.startswith(1) }}
=====
{{ 'aBc dE'.upper() }} {{ 'aBc'.lower() }} {{ "they're bill's".title() }} {{ 'aBC'.capitalize() }} {{ 'aBc'.swapcase() }} {{ 'Straße'.casefold() }} {{ 'ß'.upper() }} {{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'a'.center(4, '*') }} {{ 'ab'.center(5, '*') }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'Ǆ'.title() }}
=====
{{ '12'.isdigit() }} {{ '1a'.isdigit() }} {{ ''.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \\n'.isspace() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }} {{ '1'.islower() }} {{ 'Ab Cd'.istitle() }} {{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'é'.isascii() }} {{ 'a\\n'.isprintable() }}
=====
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }} {{ 'a\\tb'.expandtabs(4) }} {{ '-'.join(['a', 'b']) }} {{ ','.join('abc') }} {{ '{a}'.format_map({'a': 1}) }}
=====
{{ '-'.join([1]) }}
=====
{{ 'abc'.upper(1) }}
=====
{# Methods of lists and dicts #}
{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2).count(1) }} {{ [1].copy() }} {{ zeta.get('a') }} {{ zeta.get('x') }} {{ zeta.get('x', 5) }} {{ zeta.copy() }} {{ zeta.keys()|list }} {{ zeta.values()|list }} {{ zeta.items()|list }} {{ 2.0.is_integer() }} {{ (2.5).is_integer() }}
=====
{{ [1].index(5) }}
=====
{{ {[1]: 2} }}
=====
{{ 1 / 0 }}
=====
{{ 1 // 0 }}
=====
{{ 5 % 0 }}
=====
{{ 'a' + 1 }}
=====
{{ 1 + 'a' }}
=====
{{ [1] + (2,) }}
=====
{{ 'a' * 1.5 }}
=====
{{ 1 < 'a' }}
=====
{{ none < 1 }}
=====
{{ 1 in 5 }}
=====
{{ 1 in 'a' }}
=====
{{ 5() }}
=====
{{ -'a' }}
=====
{{ 0 ** -1 }}
=====
{# Syntax errors #}
{{ 1 + }}
=====
{% if %}{% endif %}
=====
{% if true %}
=====
{% endif %}
=====
{% for x in %}{% endfor %}
=====
{% unknown %}
=====
{{ 'abc }}
=====
{{ (1 }}
=====
{{ 1) }}
=====
{{ a b }}
=====
{% set true = 1 %}
=====
{% break %}
=====
{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
=====
{# unclosed
=====
{% raw %}x
=====
{{ 1 is odd is even }}
=====
{% macro m(a=1, b) %}{% endmacro %}
=====
{{ f(a=1, 2) }}
=====
{{ $ }}
=====
{% call 5 %}{% endcall %}
=====
{% include 'x' %}
=====
{% extends 'x' %}
=====
{% import 'x' as y %}
=====
{# A conversation #}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- '<|system|>\\n' + message.content | trim + eos_token + '\\n' }}
    {%- elif message['role'] == "user" -%}
        {{ '<|user|>\\n' ~ message['content'].strip() ~ eos_token ~ '\\n' }}
    {%- elif message.tool_calls is defined and message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set f = call.function %}
            {{- '<|call|>' + f.name + ' ' + (f.arguments | tojson) + eos_token }}
        {%- endfor %}
    {%- else %}
        {{- '<|assistant|>\\n' + (message.content or '') + eos_token + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}
=====
{% set ns = namespace(system='', first=true) %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.system = m.content %}{% else %}{{ ('<s>' if ns.first) }}[INST] {% if ns.first and ns.system %}<<SYS>>{{ ns.system }}<</SYS>>{% endif %}{{ m.content }} [/INST]{% set ns.first = false %}{% endif %}{% endfor %}
=====
{%- macro show(message) -%}
<{{ message.role }}>{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content | selectattr('type', 'equalto', 'text') %}{{ part.text }}{% endfor %}{% endif %}</{{ message.role }}>
{%- endmacro %}
{%- for message in messages[1:] %}{{ show(message) }}{% endfor %}
{%- if messages[-1].role != 'assistant' %}{{ messages | length }}{% endif %}
""".strip("\n")

MESSAGES = [
    {"role": "system", "content": " Be brief. "}, {"role": "user", "content": "What\nnow? é"},
    {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": "tide", "arguments": {"port": "Brest", "hours": 6}}}]},
    {"role": "tool", "content": "{\"height\": 4.5}"}, {"role": "user", "content": [{"type": "text", "text": "Thanks."}]},
]


def texts(messages):
    return [m if isinstance(m["content"], str) else {**m, "content": "Thanks."} for m in messages]


cases = []
for template in TEMPLATES.split("\n=====\n"):
    variables = {**TIDES, "messages": MESSAGES if "show(message)" in template else texts(MESSAGES),
                 "add_generation_prompt": True}
    used = {name: value for name, value in variables.items() if name in template}
    case = {"template": template, "variables": used}
    try:
        compiled = chat._compile_jinja_template(template)
        case["text"] = compiled.render(bos_token="<s>", eos_token="</s>", **used)
    except Exception as error:  # noqa: BLE001: whatever it is, the template is at fault
        case["error"] = f"{type(error).__name__}: {error}"
    cases.append(case)

path = ROOT / "Tests/JinjaTests/Fixtures/constructs.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
print(f"{path}: {len(cases)} templates, {sum('error' in case for case in cases)} with an error")
