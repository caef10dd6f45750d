using Calico.Core.Bfd;
using Calico.Core.Model;

namespace Calico.Tests.Core.Bfd;

[Layer("unit")]
public class BfdSettingTests
{
    [Theory]
    [InlineData(null, null)]
    [InlineData("off", null)]
    [InlineData("Off", null)]
    [InlineData("100ms", "100ms*3")]
    [InlineData("1s*5", "1000ms*5")]
    [InlineData("300ms*3 multihop", "300ms*3 multihop")]
    [InlineData("1s  Multihop", "1000ms*3 multihop")]
    public void It_says_how(string? text, string? means)
    {
        Assert.True(BfdSetting.TryParse(text, out var setting));
        Assert.Equal(means, setting?.ToString());
    }

    [Theory]
    [InlineData("300")]
    [InlineData("1ms")]
    [InlineData("300ms*0")]
    [InlineData("300ms*256")]
    [InlineData("300ms*-1")]
    [InlineData("300ms*3*2")]
    [InlineData("300ms * 3")]
    [InlineData("300ms*3 hops")]
    [InlineData("multihop")]
    [InlineData("off multihop")]
    [InlineData(" ")]
    [InlineData("on")]
    public void Anything_else_is_refused(string text)
    {
        Assert.False(BfdSetting.TryParse(text, out _));
        Assert.StartsWith("projectcalico.org/bfd must be off, or an interval", BfdSetting.Problem(text), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "300ms*3")]
    [InlineData("off", null)]
    [InlineData("1s*5", "1000ms*5")]
    [InlineData("nonsense", "300ms*3")]
    [InlineData("", "300ms*3")]
    public void An_annotation_is_above_what_all_peers_have(string? annotation, string? means)
    {
        var annotations = annotation is null ? StringMap.Empty : StringMap.Empty.With(BfdSetting.Annotation, annotation);

        Assert.Equal(means, BfdSetting.Of(annotations, new BfdSetting(new BfdParameters()))?.ToString());
    }
}
