"""More replies, one a line, in the notation of `phrasings`; `{Z}` is the text of `{z}`, `{xl}` a small `{x}`."""

from __future__ import annotations

_MEANT = {"\\n": "\n", "<return>": "\r", "<zero width>": "\u200b", "<no-break>": "\u00a0"}


def _lines(text: str) -> tuple[str, ...]:
    lines = text.strip("\n").split("\n")
    for written, meant in _MEANT.items():
        lines = [line.replace(written, meant) for line in lines]
    return tuple(lines)


MORE_CHOOSING = _lines(
    r"""
{x})
option ({x})
({x}) {X}
{X}.
**{X}**
I choose {x} since it fits.
The answer is {x}.
The answer is ({x}).
The correct answer is ({x}).
The correct answer is option {x}.
The answer is option {x}, not {y}
It's {x}, not {y}.
I'd go with {x} instead of {y}.
{x}, not {y}
It's not {y}, it's {x}.
{y} is wrong. I choose {x}
{y} is wrong, so {x}
{y} is wrong, so the answer is {x}.
It can't be {y}, so {x}.
{y} can't be right; {x} is right.
No, wait. Answer: {x}
The answer is {y}. No, wait, it is {x}.
Answer: {x}. {X}
Answer: {x}) {X}
Answer: ({x}) {X}
Answer: {x} ({X})
Answer: {X} ({x})
Final answer: {x}
**Answer: {x}**
**Answer**: {x}
__Answer__: {x}
Answer: {x}\n\nExplanation: {y} is the capital of another country.
\boxed{{({x})}}
\boxed{{\textbf{{({x})}}}}
\boxed{{{X}}}
\boxed{{\text{{{X}}}}}
\boxed{{\langle H\rangle \ll \Delta A}}\n\n**Answer: {x}**
The box \boxed{{x^2}} aside, the answer is {x}.
<think>Maybe Answer: {y}</think>Answer: {x}
<think>It is {y}.</think>\n{x}
Maybe {y}</think>Answer: {x}
I think {x}
I think it is {x}
I think it's {x}.
My final answer is {x}
I'd say {x}
I'll go with {x}.
I select option {x}.
My choice is {x}
I guess {x}
Therefore, {x}.
Hence {x}
Thus, the answer is {x}.
So the answer must be {x}
It must be {x}!
{x} is the best option.
The right choice is {x}.
The answer should be {x}
the answer is: {x}
The answer is: ({x})
answer {x}
Answer {x}
The answer is `{x}`.
The answer is **{x}**.
The answer is **({x}) {X}**
The answer is {x}: {X}.
The answer is {x}. {X}.
The answer is {x}) {X}.
It must be {X}!
{X} rather than {Y}.
I choose {X} because {Y} is elsewhere.
{Y} is wrong. The answer is {X}.
The correct answer is {X} ({x}).
{X} is the answer, not {Y}.
{y} and {z} are wrong, so {x}.
Neither {y} nor {z}. {x}.
Neither {y} nor {z} is right, so it's {x}.
{y} is incorrect; {z} is incorrect; {x} is correct.
{x} is correct, {y} is not.
{x} is correct and {y} is wrong.
Both {y} and {z} are wrong. The answer is {x}.
We can rule out {y} and {z}, leaving {x}.
Rules out {y}, leaving {x}
The answer isn't {y}. It's {x}.
Not {y}. {x}.
not {y}, so {x}
I don't think it's {y}. It's {x}.
I was going to say {y}, but {x} is right.
At first I thought {y}, but it is {x}.
Could be {y}, but I'd say {x}.
One might think {y}, but the answer is {x}.
Is it {y}? No, it's {x}.
Is it {y}? No. It's {x}.
{x}, since it is {X}
{x} because {y} is in another country.
{x} as it is the capital.
I pick {y}. Actually, {x}.
I pick {y}. Actually, it's {x}.
I pick {y}. Wait, no, {x}.
The answer is {y}. Hmm, that's wrong. The answer is {x}.
Answer: {y}. Wait, that is wrong. Answer: {x}
Answer: {y}\nScratch that.\nAnswer: {x}
Sorry, I mean {x}.
<answer>({x}) {X}</answer>
{{"answer": "{x}"}}
The right letter is {x}
Correct option: {x}
Choice: {x}
My pick: {x}
=> {x}
-> {x}
→ {x}
"{x}"
Option {x}: {X}
Option {x} - {X}
I am sure it is {x}.
The only option that fits is {x}.
The option that fits best is {x}.
The correct answer to this question is therefore option {x}.
The answer, then, is {x}.
Out of these, {x} is the best answer.
A quick check shows that the answer is {x}.
I looked at a map. The answer is {x}.
I know this one: {x}
Easy: {x}.
Let me think. {x}
The capital is {X}, so {x}.
The capital is {X}. So the answer is {x}.
{X} is the capital. Answer: {x}
Comparing {y} and {z}, I choose {x}.
I can't decide between {y} and {z}, but I'll go with {x}.
It is between {y} and {x}. The answer is {x}.
{x} over {y}.
{y} is not correct. {x} is correct.
{y}: wrong\n{x}: correct
{y}. {Y}: wrong\n{x}. {X}: correct\n{z}. {Z}: wrong
{y}. {Y}\n{x}. {X}\n{z}. {Z}\n\nAnswer: {x}
{y}. {Y}\n{x}. {X}\n{z}. {Z}\n\nThe answer is {x}.
{y}) {Y} ✗\n{x}) {X} ✓
Vitamin A helps, but the answer is {x}.
I think therefore {x}.
As an AI, I choose {x}.
I'm going with {x}
I am going with {x}.
My best guess is {x}.
The answer is, I think, {x}.
The answer is most likely {x}.
The answer has to be {x}.
The answer seems to be {x}.
1) {x}
1. {x}
${x}$
\({x}\)
\[\boxed{{{x}}}\]
Answer: \boxed{{\text{{{x}}}}}
Answer:\n\n\[\boxed{{{x}}}\]
Answer:\n\n**{x}**
Answer:\n- {x}
Answer:\n{x}. {X}
The answer is\n{x}
The correct answer is:\n\n**{x}**
The correct answer is:\n\n({x}) {X}
The answer is {x} .
The answer is:{x}
Answer : {x}
Ans: {x}
Ａnswer: {x}
Answer： {x}
Answer: {x}, since {y} is wrong.
Answer: {x}; {y} is wrong
Answer: It is {x}.
Answer: I think it is {x}
Answer: It is not {y}, the answer is {x}
Answer: rules out {y}, leaving {x}
Answer: {x}, not {y}
Answer: {x} rather than {y}
Answer: {x} instead of {y}
Answer: the letter {x}
Answer: {x} is the right one.
Answer: The answer is {x}.
Answer: {y}. No, wait, {x}.
Answer: {X}.
Answer: **{X}**
Answer: {X} (option {x})
Answer: The capital is {X}.
Answer: {X}, not {Y}
answer: {xl}
answer: ({xl})
answer: {xl}) {X}
({xl})
{xl}
{xl})
{xl}.
\boxed{{{xl}}}
the answer is {xl}
the answer is {xl}.
the answer is ({xl})
option {xl}
it is {xl}.
I THINK {x}
{x} would be the correct answer.
{x} must be right.
Surely {x}, as {y} doesn't fit.
{y} doesn't fit. {x} does not either? No, {x} is right.
Since {y} is false, {x} is the answer.
If we look at the map, the answer is {x}.
After careful thought, I conclude that {x} is correct.
I conclude {x}.
This leaves {x}.
This leads to {x}.
We are left with {x}.
The remaining option is {x}.
The process of elimination leaves us with {x}.
{y}, {z} are wrong; {x}.
All but {x} are wrong. The answer is {x}.
{x} is true.
Only {x} is right.
Only {x} is true; {y} is false.
{x} is the only correct option.
It is option {x} that is right.
{x} ({X}) is correct, {y} ({Y}) is wrong.
{y} ({Y}) is wrong. {x} ({X}) is right.
The answer is {X}, which is option {x}.
The answer is {x}, which is {X}.
The answer's {x}.
So: {x}
Well, {x}.
Okay, {x} then.
I'd pick {x} over {y}.
I will answer with {x}.
My answer: {x}
My answer - {x}
Solution: {x}
The statement that is true is {x}.
Statement {x} is true.
I would choose option {x} because {y} is wrong and {z} is wrong.
I would not choose {y}. I would choose {x}.
I wouldn't choose {y}; {x} is the answer.
I doubt it is {y}. It is {x}.
{y} is tempting, but {x} is right.
{y} looks good. Still, the answer is {x}.
While {y} is close, {x} is the answer.
Although {y} is plausible, the answer is {x}.
{y}? {x}!
Not {y} or {z}, but {x}.
It can be neither {y} nor {z}, so it is {x}.
It cannot be {y} or {z}. Therefore it is {x}.
Definitely not {y}. {x}.
~~{y}~~ {x}
The answer is ~~{y}~~ {x}.
I first chose {y}, but now I choose {x}.
I chose {y} at first. Now I choose {x}.
Let's check: {y} is 5, {z} is 6, {x} is 7. The answer is {x}.
A good guess would be {x}.
I am certain: {x}.
I would say that {x} is correct.
As I said, {x}.
A: The answer is {x}.
I think A city like this is big, so the answer is {x}.
Vitamin C is good. The answer is {x}.
Type I errors aside, {x} is correct.
{x} — {X}
{x}—{X}
{x}…
({x}).
**({x})**
“{x}”
‘{x}’
The answer is {x} – {X}
The answer is {x} — {X}.
answer = {x}
the correct choice would be ({x}).
My answer would be: {x}
Final Answer - {x}
FINAL ANSWER: {x}
Final choice: {x}
Therefore, option {x} is the correct one.
Hence option {x}.
Thus {x} is our answer.
This corresponds to {x}.
This corresponds to option {x}.
The capital is Rome, which is option {x}. Answer: {x}
This matches option {x}.
Option ({x})
(Option {x})
[Option {x}]
The answer is option {x} ({X})
The answer is ({x}), {X}
Selected: {x}
I selected {x}.
Selected option: {x}
Answer choice: {x}
Response: {x}
Result: {x}
{x} is it.
{x} seems best.
I'm leaning toward {x}.
{x}, definitely.
Definitely {x}
It's {x}, I think.
Should be {x}.
Got to be {x}
The answer to 5 + 3 is {x}
The answer (in my opinion) is {x}.
The answer, in my opinion, is {x}, not {y}.
{x} is the answer because {y} is false and {z} is irrelevant.
Of {y}, {z} and {x}, only {x} is right.
We can exclude {y} and {z}. {x}.
{y} is out. {x}.
{x} (correct), {y} (incorrect)
{x} ✓
{y} ❌ {x} ✅
The answer is {x} because {x} is not a fruit.
{x} is not a fruit, so the answer is {x}.
{x} is not a fruit. So {x}.
{x} is false. So {x}.
{x} is false, therefore {x}.
{y} isn't in Italy. The answer is {x}.
The answer is {x}. {y} is wrong.
The answer is {x}. Is {y} possible? No.
The answer is {x}. {y} says something else; that is wrong.
Answer: {x}\nWait, let me double-check. Yes.
Answer: {x}. Wait, let me double check: yes, {x}.
{y} looks plausible and the answer is {x}.
It is clear that {x} is the answer and I am done.
{x}\n\n{X} is the capital.
{x}\n\nExplanation: {X} is the capital, and {Y} is not.
{x}. {X}\n\nExplanation: because.
{x}. {X} is the capital of this country.
{x}: {X} is the capital.
Each option:\n\n{y}. {Y} is in France, so not this.\n{x}. {X} is in Italy.\n\nTherefore, the correct answer is {x}. {X}.
**{y}. {Y}** – Incorrect. {Y} is in France.\n**{x}. {X}** – Correct! {X} is in Italy.\n**{z}. {Z}** – Incorrect.
{y}) {Y}: in France.\n{x}) {X}: in Italy.\n{z}) {Z}: in Germany.\n\n**{x}) {X}**
Each option:\n\n{y}: One test can do it. This is false.\n\n{x}: It is so.  \n- True! \n\nThe answer is:\n\n\boxed{{{x}}}
To find the capital, we note that {X} is it. The answer is {x}
1. First, note that {y} is wrong.\n2. Then, {z} is wrong.\n3. So the answer is {x}.
- {y}: no\n- {x}: yes\n\nAnswer: {x}
| Option | OK |\n| {y} | no |\n| {x} | yes |\n\n**Answer:** {x}
Thus the answer is \boxed{{\text{{({x}) {X}}}}}.
**Final Answer**\n\n\boxed{{{x}}}
**Final Answer:**\n\n{x}
## Final Answer\n\n**{x}**
# Answer\n{x}
Answer\n\n{x}
Sure! The answer is {x}.
Certainly! {x}
Great question! I'd choose {x} because {Y} and {Z} are not capitals of it.
Based on the map, {x} is the correct answer.
Answer: {x}. {X} is the capital of the country.
Answer: {x}. Because of the map.
Answer: {x} - because of the map.
Answer: {x}, the capital.
Answer: {x} (the capital)
Answer: {x}: {X}
Answer: {x} = {X}
Answer: {x} | {X}
Answer: {{{x}}}
Answer: *{x}*
Answer: _{x}_
Answer: __{x}__
Answer: $\text{{{x}}}$
Answer: $\mathbf{{{x}}}$
**Answer**: **{x}**
**Answer:**{x}
**Answer: ({x})**
*Answer: {x}*
> Answer: {x}
The correct answer: {x}
So the answer: {x}
Answer to the question: {x}
Answer (letter): {x}
Answer letter: {x}
My final answer: {x}
**My answer is:** {x}
<b>Answer:</b> {x}
Answer: <b>{x}</b>
Answer: {x}<|im_end|>
Answer: {x}</s>
Answer: {x}\n\n
Answer:   {x}
Answer:<tab>{x}
Answer:<return>\n{x}
Answer: {x}<return>\n
Answer:<no-break>{x}
Answer: <zero width>{x}
[THINK]Answer: {y}[/THINK]Answer: {x}
<thinking>Answer: {y}</thinking>\nAnswer: {x}
<THINK>Answer: {y}</THINK>Answer: {x}
<think>a</think><think>Answer: {y}</think>Answer: {x}
Answer: {x}<think>Answer: {y}</think>
Answer: {x}\n<think>Answer: {y}
Explanation of the answer: because.\nAnswer: {x}
Answer: {x}\nExplanation of the answer: because of {y}.
Wrong answer: {y}\nAnswer: {x}
Answer: {x}\nWrong answer: {y}
Answer: {x}\n\nAnswer:
Answer: {y}\nAnswer: {x}
\boxed{{{y}}} no, \boxed{{ ({x}) }}
\boxed{{{x}}} \boxed{{7}}
I’d say it’s {x}.
It isn’t {y}; it’s {x}.
It isnt {y}, its {x}. The answer is {x}
So {x}
So the answer is {x}.
I am confident the answer is {x}.
I'd have to say {x}.
My vote goes to {x}.
Let me pick {x}.
Choosing {x}.
Pick {x}.
Go with {x}.
{x} is the one.
{x} is the correct choice here.
{x} is the most accurate option.
The one that is correct is {x}.
The only correct answer is {x}.
The only one that makes sense is {x}.
The only possible answer is {x}.
What fits is {x}.
The letter of the right option is {x}.
The right option's letter is {x}.
The option I choose is {x}.
The option that I would choose is {x}.
Of the options, {x} is right.
Of the given options, I'd choose {x}.
Among the options, {x} is the best fit.
From the options given, the answer is {x}.
Given the options, {x}.
In this case, {x}.
In short, {x}.
In conclusion, {x}.
To sum up: {x}
Conclusion: {x}
Thus: {x}
Therefore: {x}
Hence: {x}.
Final: {x}
Final answer: ({x}) {X}
Final answer: **{x}. {X}**
The final answer is **{x}**.
The final answer is $\boxed{{{x}}}$.
The final answer is: $\boxed{{\text{{{x}}}}}$
Answer = {x}
The answer is => {x}
This means the answer is {x}.
That means {x} is correct.
Which means that {x} is correct.
So we choose {x}.
So we pick option {x}.
We find that {x} is correct.
It follows that {x} is correct.
It turns out to be {x}.
It turns out that {x} is right.
It is definitely {x}.
It's clearly {x}.
It's obviously {x}, not {y}.
It's probably {x}.
I'm pretty sure it's {x}.
I'm sure that the answer is {x}.
I'm 90% sure it's {x}.
I am not sure, but I think it is {x}.
I don't know for sure, but {x}.
If I had to guess, {x}.
If I had to choose, I'd say {x}.
I'd guess {x}.
My guess would be {x}.
I suppose it's {x}.
I believe {x}.
I believe that {x} is the answer.
I believe option {x} is the correct answer.
I feel it is {x}.
In my opinion, {x}.
In my opinion it is {x}.
As far as I know, it's {x}.
To the best of my knowledge, the answer is {x}.
The answer you are looking for is {x}.
The answer we want is {x}.
The answer here is {x}.
The answer to this is {x}.
The answer for this question is {x}.
The answer among these is {x}.
The answer is indeed {x}.
The answer is actually {x}.
The answer is simply {x}.
The answer is in fact {x}.
The answer is going to be {x}.
The answer will be {x}.
The answer can only be {x}.
The answer turns out to be {x}.
The answer remains {x}.
The answer is {x}!
The answer is {x}...
The answer is {x}, of course.
The answer is {x}, I believe.
The answer is {x} (I am sure).
The answer is {x} ({X} is the capital).
The answer is {x}: it is {X}.
The answer is {x}; {y} and {z} are wrong.
The answer is {x}, since {y} is in France and {z} is in Spain.
The answer is {x} as {y} and {z} make no sense.
The answer is {x} while {y} is wrong.
The answer is {x} and definitely not {y}.
The answer is {x} and not {y} or {z}.
The answer is not {y} or {z} but {x}.
The answer is not {y} nor {z}; it's {x}.
The answer is neither {y} nor {z}, but {x}.
The answer isn't {y} because it's in France; it's {x}.
The answer cannot be {y}, so it must be {x}.
The answer can't be {y} or {z}, which leaves {x}.
Since it can't be {y}, it's {x}.
Since {y} and {z} are wrong, it must be {x}.
Because {y} is wrong, I choose {x}.
{y} is ruled out, so {x}.
{y} can be ruled out. So can {z}. The answer is {x}.
{y} and {z} can be eliminated, so the answer is {x}.
{y} doesn't work, and neither does {z}. It's {x}.
{y} is not it. It's {x}.
{y} is close, but {x} is correct.
{y} is close, but no. {x}.
{y} would be wrong; {x} would be right.
{y} might be tempting, but {x} is the answer.
{y} may seem right, but the correct answer is {x}.
{y} seems plausible. However, {x} is correct.
{y} was my first thought. But the answer is {x}.
My first thought was {y}, but it is {x}.
My initial answer was {y}, but now I think it's {x}.
Initially I thought {y}, now I say {x}.
I initially picked {y}. I now pick {x}.
I considered {y}, but {x} is better.
I considered {y} and {z}; {x} is the answer.
I was torn between {y} and {x}; I choose {x}.
Hmm, maybe {y}. No: {x}.
Maybe {y}... Actually {x}.
Maybe {y}? Let me see. The answer is {x}.
Could it be {y}? I don't think so. It's {x}.
Is it {y} or {x}? It's {x}.
Which one, {y} or {x}? I'd say {x}.
Should I pick {y}? No. I pick {x}.
{y} or {x}? {x}.
{y}? Wrong. {z}? Wrong. {x}? Right. So {x}.
{y} - wrong. {z} - wrong. {x} - right.
{y} = wrong, {x} = right. Answer: {x}
{y}: no. {z}: no. {x}: yes. So the answer is {x}.
Option {y} is wrong. Option {z} is wrong. Option {x} is right.
Option {y}: {Y}. Wrong.\nOption {x}: {X}. Right.\n\nThe answer is option {x}.
Option {y} says {Y}. Option {x} says {X}, which is right. So option {x}.
({y}) is wrong; ({x}) is right.
({y}) is wrong, thus ({x}).
The statements in {y} and {z} are false, so {x} is the answer.
{y} is a city in France and {z} is a city in Spain, so the answer is {x}.
I eliminated {y} and {z}. That leaves {x}.
Eliminate {y}. Eliminate {z}. {x} remains.
Crossing out {y} and {z}, I am left with {x}.
Everything except {x} is wrong, so {x}.
All options except {x} are wrong. Answer: {x}
Unlike {y}, {x} is right.
Compared to {y}, {x} is better.
I choose {x} rather than {y} or {z}.
I prefer {x} over {y}.
{x}, rather than {y}.
{x}, as opposed to {y}.
{x} and not {y}.
{x} (and not {y}).
{x}. Not {y}.
{x}. {y} is wrong.
{x}. {y} and {z} are wrong.
{x}. I am sure.
{x}. I think so.
{x}. I think that {X} is right.
{x}. A city in Italy.
{x}, A city in Italy.
{x}: a city in Italy
{x} is my choice
{x}, without a doubt.
{x}, no doubt.
No doubt about it: {x}.
No question, it's {x}.
There's no doubt that {x} is correct.
Not sure, {x}?? I'd say {x}.
Yes, it is {x}.
Yes: {x}.
Right, so {x}.
Ok so {x}.
OK, the answer is {x}
Alright, {x}.
Sure, {x}.
Sure: {x}
Hello! The answer is {x}.
Hi, I think the answer is {x}. Have a nice day!
Thanks for the question. {x} is the answer.
A quick look tells me that it is {x}.
A careful reader would choose {x}.
I see that {x} is right.
I know it is {x}.
I know the answer: {x}.
I found that {x} is correct.
I have checked: {x} is right.
I've decided on {x}.
I've chosen {x}.
I have selected {x}.
I'm choosing {x}.
I'm picking {x}.
I am selecting option {x}.
I will pick {x}.
I'll say {x}.
I'll take {x}.
I'll answer {x}.
I'll choose option {x}.
I can only choose {x}.
I want to choose {x}.
I'd like to choose {x}.
Let's choose {x}.
Let's say {x}.
Let us select {x}.
We should choose {x}.
We should go with {x}.
We can choose {x}.
You should choose {x}.
You would choose {x}.
One should choose {x}.
"""
)

MORE_CHOOSING_NOTHING = _lines(
    r"""
Both {x} and {y}.
Answer: either {x} or {y}
Answer: not {x} or {y}
Answer:

**Answer: **
Answer: ?
Answer: None of the above
Answer: I don't know
I don't know.
<think>The answer is {x}.
<think>hm</think>
Answer: Z
{x}. {X}\n{y}. {Y}\n{z}. {Z}
The answer is {x}. No.
Answer: {x}. No, that's wrong.
Answer: {x}\nNo, wait, that's wrong.
The answer is {X} or {Y}.
The incorrect options are {x} and {y}.
P({x})
f({x}) = 3
{x} = 5
Vitamin {x} is good for you.
Plan {x} is what we have.
Hepatitis {x} and {y}
The answer depends.
It could be {x} or {y}.
I can't decide between {x} and {y}.
{x}-level
{x}++
{x}#
{x}'s
{x}12
{x}_1
The answer is Z.
{x}\n{y}
{x} {y} {z}
The right answer is not listed.
Answer: {Y} ({x})
{x}. {Y}
{x}, {Y}.
{x} is correct. {y} is also correct.
{x} and {y} are both correct.
Answer: {x}. Or {y}.
It's {x} or {y}, I'm not sure.
Answer: Which one?
The answer is a letter.
Choose {x}, {y} or {z}.
Answer: {x}, {y}, {z}
All of {x}, {y} and {z}.
{x}, {y} and {z} are correct.
None of {x}, {y}, {z}.
Answer: anything but {x}
I wouldn't choose {x}.
The answer is not {x} or {y}.
The answer is not ({x}).
{x} doesn't fit.
{x} is eliminated.
{x} or maybe {y}.
{x}, maybe {y}.
Possibly {x} or {y}.
{x} and {y} both fit.
{x} and {y} fit equally well.
{x} is as good as {y}.
Both.
All of them.
All of the above.
None.
None of them.
It depends.
I can't answer.
I cannot choose between {x} and {y}.
I do not know whether it is {x} or {y}.
I don't know if {x} is right.
I don't like {x}.
I reject {x}.
{x} is out of the question.
{x} makes no sense.
{x} is impossible.
{x} cannot be the answer.
{x} is not the right answer.
{x} is never right.
{x} seems wrong.
The answer is certainly not {x}.
The answer is never {x}.
The answer can't be {x}.
The answer is definitely not ({x}).
The answer is something other than {x}.
The answer is different from {x}.
It is wrong to choose {x}.
Don't choose {x}.
Do not pick {x}.
You should not choose {x}.
You could choose {x} or {y}.
Choose between {x} and {y}.
Choose {x} or {y}.
Rule {x} out.
{x} and {y} are wrong.
{x}, {y} and {z} are all wrong.
{x} is wrong and so is {y}.
What is {x}?
Why {x}?
{x}???? or {y}
Options: {x}, {y}, {z}
{x}. {X} {y}. {Y} {z}. {Z}
({x}) {X} ({y}) {Y} ({z}) {Z}
{x}) {X}, {y}) {Y}, {z}) {Z}
Answer: {x} or {y}?
Answer: {x} (or {y})
Answer: maybe {x} or {y}
Answer: {x}+{y}
Answer: options {x} and {y}
Answer: all of {x}, {y}
Answer: not ({x})
Answer: not sure
Answer: (none)
Answer: -
Answer: ...
Answer: [letter]
Answer: <letter>
Answer: X
Answer: 7
The answer is 7.
\boxed{{\text{{{x} or {y}}}}}
\boxed{{{x}}} and \boxed{{{y}}}
\boxed{{{x}}}, \boxed{{{y}}}
\boxed{{X}}
\boxed{{7}}
\boxed{{{x} = 7}}
\boxed{{{x} + {y}}}
\boxed{{P({x})}}
\boxed{{\Delta {x}}}
\boxed{{5\ \text{{{x}}}}}
\boxed{{{x}^2}}
\boxed{{{x}_1}}
Perhaps {x}.
Maybe {x}
I'm not sure, but maybe {x}.
It might be {x}.
"""
)

# Choices all the same, in words that models hardly write: not worth the rules, and no choice is better than a guess.
UNREAD = _lines(
    r"""
I prefer {x} to {y}.
None other than {x}.
I am choosing {x} here.
It can't be anything but {x}.
{x} is what I choose.
{y} does not fit. {x} does.
{x} is the capital, so I choose it.
{x} obviously.
{x} of course.
{x} for sure.
{x} for me.
{x} please.
{x} matches the description.
{x} and definitely not {y}.
Not {y}: {x}.
Unlike {y}, {x} is in Italy.
{y} is {Y}, {x} is {X}. So {x}.
i choose {xl}
I'd pick {x} here.
Anything but {y}: {x} is right.
{x} is what I would choose.
Lock in {x}.
{x} for sure
{x} definitely
{x} I think
{y}) {Y}\n{x}) {X}\n{z}) {Z}\n\n{x}
{x} is the closest.
{x} matches the question.
{x} satisfies the condition.
{x} is what the question asks for.
I'd choose {x} before {y}.
{x} beats {y}.
{x} [not {y}]
{x} - not {y}.
{x} I choose
{x} is chosen.
{x} is selected.
{x} gets my vote.
{x} without a doubt.
A bit of thought gives {x}.
I, for one, choose {x}.
"""
)
