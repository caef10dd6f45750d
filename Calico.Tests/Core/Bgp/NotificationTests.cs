using Calico.Core.Bgp.Wire;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class NotificationTests
{
    [Fact]
    public void The_octets_and_the_object_say_the_same()
    {
        const string hex = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" + "0019" + "03" + "0602" + "03" + "627965";
        var message = NotificationMessage.Shutdown(CeaseError.AdministrativeShutdown, "bye");

        Assert.Equal(hex, Convert.ToHexString(message.Encode()));
        Assert.True(NotificationMessage.TryDecode(Convert.FromHexString(hex).AsSpan(19), out var decoded));
        Assert.Equal(message, decoded);
        Assert.Equal("cease/administrative shutdown \"bye\"", decoded.ToString());
    }

    [Fact]
    public void A_text_that_is_too_long_is_cut_between_characters()
    {
        var text = NotificationMessage.Shutdown(CeaseError.AdministrativeReset, new string('ü', 200)).ShutdownText;

        Assert.Equal(new string('ü', 127), text);
    }

    [Theory]
    [InlineData("06020561")]
    [InlineData("060202C328")]
    [InlineData("0602")]
    [InlineData("060200")]
    [InlineData("06040361626C6C")]
    public void A_text_from_outside_is_shown_only_if_it_is_well_formed(string body)
    {
        Assert.True(NotificationMessage.TryDecode(Convert.FromHexString(body), out var message));

        Assert.Equal(body == "06040361626C6C" ? "abl" : null, message.ShutdownText);
    }

    [Fact]
    public void Control_characters_of_a_peer_do_not_reach_a_terminal()
    {
        NotificationMessage.TryDecode([6, 2, 3, 27, (byte)'[', 10], out var message);

        Assert.Equal("?[?", message.ShutdownText);
    }

    [Fact]
    public void A_hard_reset_carries_the_reason_and_never_itself()
    {
        var reset = NotificationMessage.HardReset(NotificationMessage.Shutdown(CeaseError.AdministrativeShutdown, "bye"));

        Assert.Equal<byte>([6, 2, 3, 98, 121, 101], [.. reset.Data]);
        Assert.Equal("bye", reset.HardResetReason!.ShutdownText);
        Assert.Equal("cease/hard reset: cease/administrative shutdown \"bye\"", reset.ToString());
        Assert.Null(NotificationMessage.HardReset(reset).HardResetReason);
        Assert.Null(NotificationMessage.Of(ErrorCode.Cease, CeaseError.HardReset).HardResetReason);
    }

    [Fact]
    public void Too_many_prefixes_name_the_family_and_the_limit() =>
        Assert.Equal<byte>([0, 2, 1, 0, 0, 3, 232],
            [.. NotificationMessage.MaximumPrefixes(Families.Ipv6Unicast, 1000).Data]);

    [Fact]
    public void Unknown_numbers_stay_numbers()
    {
        Assert.Equal("code 77/5", NotificationNames.Describe((ErrorCode)77, 5));
        Assert.Equal("cease/99", NotificationNames.Describe(ErrorCode.Cease, 99));
        Assert.Equal("send hold timer expired", NotificationNames.Describe(ErrorCode.SendHoldTimerExpired, 0));
        Assert.Equal("hold timer expired", NotificationNames.Describe(ErrorCode.HoldTimerExpired, 0));
    }

    [Fact]
    public void Random_octets_never_throw() => Gen.Byte.Array[0, 300].Sample(bytes =>
    {
        if (NotificationMessage.TryDecode(bytes, out var message))
            _ = message.ToString();
        RouteRefreshMessage.TryDecode(bytes, out _, out _);
    });

    [Fact]
    public void A_route_refresh_survives_the_round_trip_and_a_short_one_is_quoted_back()
    {
        var message = new RouteRefreshMessage(AfiSafi.Of(Families.Ipv6Unicast), RefreshSubtype.EndOfRouteRefresh);

        Assert.True(RouteRefreshMessage.TryDecode(message.Encode().AsSpan(19), out var decoded, out _));
        Assert.Equal(message, decoded);
        Assert.False(RouteRefreshMessage.TryDecode([0, 1, 1], out _, out var error));
        Assert.Equal((ErrorCode.RouteRefreshMessage, 22), (error!.Code, error.Data.Length));
    }
}
