using Calico.Core.Bfd;

namespace Calico.Tests.Core.Bfd;

/// <summary>The timers of a session: what is announced, what is used, and from when on.</summary>
[Layer("unit")]
public class BfdSessionTimerTests : BfdSessionFixture
{
    [Fact]
    public void Until_up_there_is_at_most_one_packet_a_second()
    {
        Assert.Equal((TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)), (Subject.DesiredMinTx, Subject.TransmitInterval));
        Assert.Equal(BfdWork.Send, AdvanceTo(Now));
        var first = Now;

        Assert.Equal(BfdWork.None, AdvanceTo(first + TimeSpan.FromMilliseconds(749)));
        Assert.Equal(BfdWork.Send, AdvanceTo(first + TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void When_up_the_configured_interval_is_announced_by_a_poll_and_used_at_once_because_it_is_shorter()
    {
        Bring(BfdState.Up);

        Assert.True(Subject.Compose() is { Poll: true, Final: false } polled && polled.DesiredMinTx == Fast);
        Assert.Equal(Fast, Subject.TransmitInterval);
    }

    [Fact]
    public void When_down_again_a_second_is_announced_and_used_at_once()
    {
        Settle();

        Hear(BfdState.Down);

        Assert.Equal((TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)), (Subject.Compose().DesiredMinTx, Subject.TransmitInterval));
    }

    [Fact]
    public void A_longer_interval_is_used_only_after_the_final()
    {
        Settle();

        Subject.Change(new BfdParameters { Interval = Fast * 4 }, Now);
        Assert.True(Subject.Compose() is { Poll: true } polled && polled.DesiredMinTx == Fast * 4);
        Assert.Equal(Fast, Subject.TransmitInterval);
        Hear(BfdState.Up);
        Assert.Equal(Fast, Subject.TransmitInterval);

        Hear(Packet(BfdState.Up) with { Final = true });
        Assert.Equal(Fast * 4, Subject.TransmitInterval);
        Assert.False(Subject.Compose().Poll);
    }

    [Fact]
    public void A_shorter_required_interval_counts_for_detection_only_after_the_final()
    {
        Settle();

        Subject.Change(new BfdParameters { Interval = Fast / 5 }, Now);
        Hear(Packet(BfdState.Up) with { DesiredMinTx = Fast / 5 });
        Assert.Equal((Fast / 5, Fast * 3), (Subject.RequiredMinRx, Subject.DetectionTime));

        Hear(Packet(BfdState.Up) with { DesiredMinTx = Fast / 5, Final = true });
        Assert.Equal(Fast / 5 * 3, Subject.DetectionTime);
    }

    [Fact]
    public void A_second_change_waits_for_a_packet_without_final_after_the_first_poll()
    {
        Settle();
        Subject.Change(new BfdParameters { Interval = Fast * 2 }, Now);

        Subject.Change(new BfdParameters { Interval = Fast * 4 }, Now);
        Assert.Equal(Fast * 2, Subject.DesiredMinTx);
        Hear(Packet(BfdState.Up) with { Final = true });
        Hear(Packet(BfdState.Up) with { Final = true });
        Assert.True(!Subject.Compose().Poll && Subject.DesiredMinTx == Fast * 2);

        Hear(BfdState.Up);
        Assert.True(Subject.Compose().Poll && Subject.DesiredMinTx == Fast * 4);
        Assert.Equal(Fast * 2, Subject.TransmitInterval);
    }

    [Fact]
    public void A_neighbour_that_wants_fewer_packets_gets_fewer_at_once()
    {
        Settle();

        Hear(Packet(BfdState.Up) with { RequiredMinRx = Fast * 10, Poll = true });

        Assert.Equal(Fast * 10, Subject.TransmitInterval);
    }

    [Fact]
    public void A_neighbour_that_takes_more_packets_gets_the_next_within_the_new_interval()
    {
        Settle();
        Hear(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.FromSeconds(10) });
        AdvanceTo(Now + TimeSpan.FromMilliseconds(100));

        Hear(Packet(BfdState.Up) with { RequiredMinRx = Fast });

        Assert.InRange(Subject.NextSend, Now, Now + Fast);
    }

    [Fact]
    public void A_neighbour_that_wants_no_packets_gets_none_but_an_answer()
    {
        Settle();

        Hear(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.Zero });
        Assert.Equal(TimeSpan.MaxValue, Subject.NextSend);

        Subject.Receive(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.Zero, Poll = true }, Now, out var work);
        Assert.Equal(BfdWork.Final, work);
    }

    [Fact]
    public void A_neighbour_in_demand_mode_gets_no_periodic_packets_but_polls()
    {
        Settle();
        Hear(Packet(BfdState.Up) with { Demand = true });
        Assert.Equal(TimeSpan.MaxValue, Subject.NextSend);

        Subject.Change(new BfdParameters { Interval = Fast * 2 }, Now);

        Assert.True(Subject.NextSend < TimeSpan.MaxValue && Subject.Compose().Poll);
    }

    [Fact]
    public void We_offer_neither_demand_mode_nor_echo()
    {
        Settle();

        Assert.True(Subject.Compose() is { Demand: false, HasAuthentication: false } packet && packet.RequiredMinEchoRx == TimeSpan.Zero);
    }

    [Theory]
    [InlineData(1, 0.75, 0.90)]
    [InlineData(2, 0.75, 1.00)]
    [InlineData(3, 0.75, 1.00)]
    public void Jitter_takes_up_to_a_quarter_and_with_one_packet_to_lose_at_least_a_tenth(int multiplier, double least, double most)
    {
        var session = Session(new BfdParameters { Interval = TimeSpan.FromSeconds(1), Multiplier = multiplier });

        var pauses = Enumerable.Range(0, 2000).Select(_ => session.Jittered().TotalSeconds).ToList();

        Assert.InRange(pauses.Min(), least, least + 0.01);
        Assert.InRange(pauses.Max(), most - 0.01, most);
    }
}
