namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Roles (RFC 9234) with the implementations of Debian that know them.</summary>
[Layer("conformance")]
public sealed class RoleInteropTests : InteropFixture
{
    public static TheoryData<string> Speakers => ["bird", "frr"];

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task What_a_provider_tells_is_marked_for_customers_only(string speaker)
    {
        await StartAsync(speaker, External with { Role = "customer" }, new OurConfig { Role = "provider" });
        await Bed.FeedAsync(3, InteropBed.FeederAs, new FeederSession(1, InteropBed.OurAs, InteropBed.Fed));

        await UntilAsync(async () => await Foreign!.FindAsync("10.1.0.0/24") is { OnlyTo: InteropBed.OurAs }, "our route has our mark");
        await UntilAsync(async () => await Foreign!.FindAsync("fd00:1::/48") is { OnlyTo: InteropBed.OurAs }, "that of IPv6 too");
        await UntilAsync(async () => await Bed.FindAsync(TheirRoute) is not null, "a customer's route is taken");
        Assert.Equal(System.Text.Json.JsonValueKind.Null, (await Bed.FindAsync(TheirRoute))!.Value.GetProperty("onlyToCustomer").ValueKind);
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task What_a_provider_told_goes_to_no_other_provider(string speaker)
    {
        await StartAsync(speaker, External with { Role = "provider" }, new OurConfig { Role = "customer" });

        await UntilAsync(async () => await Bed.FindAsync(TheirRoute) is not null, "a provider's route is taken");
        Assert.Equal(InteropBed.TheirAs, (await Bed.FindAsync(TheirRoute))!.Value.GetProperty("onlyToCustomer").GetUInt32());
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Two_providers_of_each_other_have_no_session_and_are_told_why(string speaker)
    {
        await StartAsync(speaker, External with { Role = "provider" }, new OurConfig { Role = "provider" });

        await UntilAsync(async () => (await Bed.PeersAsync()).Contains("role", StringComparison.OrdinalIgnoreCase), "the reason is shown");
        Assert.Null(await Bed.FindAsync(TheirRoute));
    }
}
