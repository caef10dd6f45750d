using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Several paths for a prefix (RFC 7911): two neighbours tell the same, and the speaker behind hears of both.</summary>
[Layer("conformance")]
public sealed class AddPathInteropTests : InteropFixture
{
    private const string Ours = "10.3.0.0/24", Ours6 = "fd00:3::/48", Theirs = "10.4.0.0/24", Theirs6 = "fd00:4::/48";

    public static TheoryData<string> Speakers => ["bird", "frr", "gobgp", "openbgpd", "exabgp"];

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Both_paths_of_a_prefix_travel_both_ways_each_with_its_identifier(string speaker)
    {
        var theirs = External with
        {
            AddPaths = true,
            Others = [new ForeignNeighbour(3, InteropBed.FeederAs), new ForeignNeighbour(4, InteropBed.SecondFeederAs)],
            Shared = [Theirs, Theirs6],
        };
        await StartAsync(speaker, theirs, new OurConfig { Feeders = [(3, InteropBed.FeederAs), (4, InteropBed.SecondFeederAs)] });
        FeederSession[] sessions = [new(1, InteropBed.OurAs, Ours, Ours6), new(2, InteropBed.TheirAs, Theirs, Theirs6)];
        await Bed.FeedAsync(3, InteropBed.FeederAs, sessions);
        var second = await Bed.FeedAsync(4, InteropBed.SecondFeederAs, sessions);

        foreach (var prefix in (string[])[Ours, Ours6])
        {
            await UntilAsync(async () => (await Foreign!.ListAsync(prefix)).Count == 2, $"it has both paths of {prefix}");
            var shown = await Foreign!.ListAsync(prefix);
            var told = await Bed.ListAsync("advertised", prefix);
            Assert.Equal(["4200000001 4200000003", "4200000001 4200000004"], shown.Select(r => r.AsPath).Order(StringComparer.Ordinal));
            Assert.Equal(2, told.Select(IdOf).Distinct().Count());
            Assert.All(told, t => Assert.NotEqual(0u, IdOf(t)));
            Assert.Equal(told.Select(t => (PathOf(t), Foreign.ShowsPathIds ? IdOf(t) : null)).Order(), shown.Select(r => (r.AsPath, r.PathId)).Order());
        }
        foreach (var prefix in (string[])[Theirs, Theirs6])
        {
            await UntilAsync(async () => (await Bed.ListAsync("received", prefix)).Count == 2, $"we have both paths of {prefix}");
            var heard = await Bed.ListAsync("received", prefix);
            Assert.Equal(["4200000002 4200000003", "4200000002 4200000004"], heard.Select(PathOf).Order(StringComparer.Ordinal));
            Assert.Equal(2, heard.Select(IdOf).Distinct().Count());
        }

        // One of two goes: the other stays.
        await UntilAsync(() => Foreign!.TellsChangesAsync(), "it has told its table");
        await second.TellsAsync(false);
        await UntilAsync(async () => (await Foreign!.ListAsync(Ours)) is [{ AsPath: "4200000001 4200000003" }], "one path is left there");
        await UntilAsync(async () => await Foreign!.ListAsync(Ours6) is [{ AsPath: "4200000001 4200000003" }], "and of IPv6");
        if (!Foreign!.HasTable)
            return;
        await UntilAsync(async () => await Bed.ListAsync("received", Theirs) is [var left] && PathOf(left) == "4200000002 4200000003", "one path is left here");
        await UntilAsync(async () => await Bed.ListAsync("received", Theirs6) is [var left] && PathOf(left) == "4200000002 4200000003", "and of IPv6 here");
    }

    private static uint? IdOf(JsonElement route) => route.GetProperty("pathId") is { ValueKind: JsonValueKind.Number } id ? id.GetUInt32() : null;

    private static string PathOf(JsonElement route) => route.GetProperty("asPath").GetString()!;
}
