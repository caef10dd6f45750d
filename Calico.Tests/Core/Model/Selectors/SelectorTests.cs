using Calico.Core.Model.Selectors;

namespace Calico.Tests.Core.Model.Selectors;

[Layer("unit")]
public class SelectorTests
{
    private static readonly Dictionary<string, string> Web = new() { ["app"] = "web", ["env"] = "prod" };

    [Theory]
    [InlineData("app == 'web'", true)]
    [InlineData("app != 'web'", false)]
    [InlineData("gone != 'web'", true)]
    [InlineData("gone not in {'web'}", true)]
    [InlineData("app in {'db', 'web',}", true)]
    [InlineData("app in {}", false)]
    [InlineData("app notin {}", true)]
    [InlineData("app startswith 'w' && env ends with 'od'", true)]
    [InlineData("gone contains ''", false)]
    [InlineData("app == 'db' || app == 'web' && env == 'test'", false)]
    [InlineData("!has(gone)", true)]
    [InlineData("", true)]
    public void Labels_decide(string selector, bool match) => Assert.Equal(match, Selector.Parse(selector).Evaluate(Web));

    [Theory]
    [InlineData("a == 'x' && a == ", 17)]
    [InlineData("a = 'x'", 2)]
    [InlineData("a == 'x' || (b == 'y'", 21)]
    [InlineData("a == \"x'", 5)]
    [InlineData("has(a b)", 0)]
    [InlineData("a in {'x' 'y'}", 10)]
    [InlineData("a equals 'b'", 2)]
    [InlineData("all() all()", 6)]
    [InlineData("a == 'x'\n&& b == 'y'", 8)]
    public void An_error_says_where(string selector, int position)
    {
        Assert.False(Selector.TryParse(selector, out _, out var error));
        Assert.Equal(position, error.Position);
        Assert.Contains(selector, error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Deep_nesting_is_refused_instead_of_eating_the_stack()
    {
        var text = string.Concat(Enumerable.Repeat("(", 100_000)) + "has(a)";

        var exception = Assert.Throws<SelectorException>(() => Selector.Parse(text));

        Assert.Contains("nested", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Long_chains_are_no_nesting() =>
        Assert.True(Selector.Parse(string.Join(" && ", Enumerable.Repeat("(has(app))", 10_000))).Evaluate(Web));

    [Fact]
    public void Label_names_end_at_512_characters()
    {
        var longest = new string('a', 512);

        Assert.True(Selector.TryParse($"has({longest})", out _, out _));
        Assert.False(Selector.TryParse($"has({longest}a)", out _, out _));
        Assert.False(Selector.TryParse($"{longest}a == 'x'", out _, out _));
    }

    [Fact]
    public void Prefixing_changes_every_label_name_and_nothing_else()
    {
        var prefixed = Selector.Parse("a == 'a' && (has(b) || !(c in {'a'})) && all()").WithLabelPrefix("pcns.");

        Assert.Equal("(pcns.a == \"a\" && (has(pcns.b) || !pcns.c in {\"a\"}) && all())", prefixed.CanonicalText);
    }

    [Fact]
    public void Equal_meaning_in_one_spelling_is_an_equal_selector()
    {
        Assert.Equal(Selector.Parse("a in {'y','x','x'}"), Selector.Parse("a in { \"x\", \"y\" }"));
        Assert.NotEqual(Selector.Parse("has(a) && (has(b) && has(c))"), Selector.Parse("has(a) && has(b) && has(c)"));
        Assert.Equal(Selector.All, Selector.Parse(" "));
    }

    [Theory]
    [InlineData("a == 'x'", "a=x")]
    [InlineData("a == 'x' && has(b)", "a=x b")]
    [InlineData("a in {'y','x'} && a in {'y','z'}", "a=y")]
    [InlineData("a == 'x' && a == 'y'", "a=")]
    [InlineData("has(a) && !has(a)", "a=")]
    [InlineData("a == 'x' || a == 'y'", "a=x,y")]
    [InlineData("a == 'x' || has(a)", "a")]
    [InlineData("a == 'x' || b == 'x'", "")]
    [InlineData("(a == 'x' && has(c)) || (b == 'x' && has(c))", "c")]
    [InlineData("!has(a)", "!a")]
    [InlineData("!(a != 'x')", "a=x")]
    [InlineData("!(a not in {'x'} || !has(b))", "a=x b")]
    [InlineData("!(has(a) && has(b))", "")]
    [InlineData("a != 'x'", "")]
    [InlineData("a starts with 'x'", "a")]
    [InlineData("(a == 'x' && a == 'y') || has(b)", "b")]
    [InlineData("all()", "")]
    public void Requirements_are_what_a_match_cannot_do_without(string selector, string expected)
    {
        var requirements = Selector.Parse(selector).Requirements.Select(r =>
            r.Presence == LabelPresence.Forbidden ? $"!{r.Key}"
            : r.Values is { } values ? $"{r.Key}={string.Join(',', values)}" : r.Key);

        Assert.Equal(expected, string.Join(' ', requirements));
    }
}
