using Calico.Core.Bfd;

namespace Calico.Tests.Core.Bfd;

/// <summary>One session, and packets of a neighbour that the test writes.</summary>
[Layer("unit")]
public class BfdSessionTests
{
    private const uint Ours = 7;
    private const uint Theirs = 9;

    private static readonly TimeSpan Fast = TimeSpan.FromMilliseconds(50);

    private readonly BfdSession _session = Session(new BfdParameters { Interval = Fast });
    private TimeSpan _now;

    // The table of section 6.8.6 and the figure of section 6.2: every state with everything that a neighbour can say.
    [Theory]
    [InlineData(BfdState.Down, BfdState.AdminDown, BfdState.Down, BfdDiagnostic.None)]
    [InlineData(BfdState.Down, BfdState.Down, BfdState.Init, BfdDiagnostic.None)]
    [InlineData(BfdState.Down, BfdState.Init, BfdState.Up, BfdDiagnostic.None)]
    [InlineData(BfdState.Down, BfdState.Up, BfdState.Down, BfdDiagnostic.None)]
    [InlineData(BfdState.Init, BfdState.AdminDown, BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown)]
    [InlineData(BfdState.Init, BfdState.Down, BfdState.Init, BfdDiagnostic.None)]
    [InlineData(BfdState.Init, BfdState.Init, BfdState.Up, BfdDiagnostic.None)]
    [InlineData(BfdState.Init, BfdState.Up, BfdState.Up, BfdDiagnostic.None)]
    [InlineData(BfdState.Up, BfdState.AdminDown, BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown)]
    [InlineData(BfdState.Up, BfdState.Down, BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown)]
    [InlineData(BfdState.Up, BfdState.Init, BfdState.Up, BfdDiagnostic.None)]
    [InlineData(BfdState.Up, BfdState.Up, BfdState.Up, BfdDiagnostic.None)]
    public void What_the_neighbour_says_moves_the_session(BfdState from, BfdState heard, BfdState to, BfdDiagnostic diagnostic)
    {
        Bring(from);

        var work = Hear(heard);

        Assert.Equal((to, diagnostic), (_session.State, _session.Diagnostic));
        Assert.Equal(from != to, work.HasFlag(BfdWork.StateChanged));
        Assert.Equal(from != to, work.HasFlag(BfdWork.Send));
    }

    [Fact]
    public void A_packet_with_authentication_does_not_count_as_we_have_no_keys()
    {
        Bring(BfdState.Up);
        var silentAt = _session.Deadline;

        Assert.Equal(BfdDiscard.Authentication,
            _session.Receive(Packet(BfdState.Down) with { HasAuthentication = true }, _now + Fast, out var work));

        Assert.Equal((BfdState.Up, BfdWork.None, silentAt), (_session.State, work, _session.Deadline));
    }

    [Fact]
    public void While_switched_off_packets_do_not_count_and_polls_are_not_answered()
    {
        _session.Disable(_now);

        Assert.Equal(BfdDiscard.AdminDown, _session.Receive(Packet(BfdState.Down) with { Poll = true }, _now, out var work));

        Assert.Equal((BfdState.AdminDown, BfdWork.None), (_session.State, work));
    }

    [Fact]
    public void A_poll_is_answered_at_once_with_final_and_without_poll()
    {
        Bring(BfdState.Up);

        _session.Receive(Packet(BfdState.Up) with { Poll = true }, _now, out var work);

        Assert.Equal(BfdWork.Final, work);
        var answer = _session.ComposeFinal();
        Assert.Equal((true, false, Theirs, BfdState.Up), (answer.Final, answer.Poll, answer.YourDiscriminator, answer.State));
    }

    [Fact]
    public void A_poll_that_changes_the_state_is_answered_by_one_packet()
    {
        _session.Receive(Packet(BfdState.Init) with { Poll = true }, _now, out var work);

        Assert.Equal(BfdWork.Final | BfdWork.StateChanged, work);
        Assert.Equal(BfdState.Up, _session.ComposeFinal().State);
    }

    [Fact]
    public void Silence_for_the_detection_time_is_a_failure_and_not_sooner()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var heard = _now;
        Assert.Equal(Fast * 3, _session.DetectionTime);

        AdvanceTo(heard + (Fast * 3) - TimeSpan.FromMicroseconds(1));
        Assert.Equal(BfdState.Up, _session.State);

        var work = AdvanceTo(heard + (Fast * 3));
        Assert.Equal((BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired), (_session.State, _session.Diagnostic));
        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, work);
        Assert.Equal(0u, _session.Compose().YourDiscriminator);
    }

    [Fact]
    public void The_detection_time_is_the_neighbours_multiplier_of_the_slower_end()
    {
        Bring(BfdState.Up);

        Hear(Packet(BfdState.Up) with { DetectMult = 5, DesiredMinTx = TimeSpan.FromMilliseconds(80) });
        Assert.Equal(TimeSpan.FromMilliseconds(400), _session.DetectionTime);

        Hear(Packet(BfdState.Up) with { DetectMult = 5, DesiredMinTx = TimeSpan.FromMilliseconds(20) });
        Assert.Equal(TimeSpan.FromMilliseconds(250), _session.DetectionTime);
    }

    [Fact]
    public void A_neighbour_that_is_silent_while_down_is_forgotten()
    {
        Hear(BfdState.Up);
        Assert.Equal(Theirs, _session.RemoteDiscriminator);

        AdvanceTo(_now + (Fast * 3));

        Assert.Equal((BfdState.Down, 0u), (_session.State, _session.RemoteDiscriminator));
    }

    [Fact]
    public void What_a_late_caller_could_not_read_is_not_the_neighbours_silence()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var back = _now + TimeSpan.FromSeconds(1);

        _session.Advance(back, back);
        Assert.Equal(BfdState.Up, _session.State);

        _session.Advance(back + (Fast * 3), back);
        Assert.Equal(BfdState.Down, _session.State);
    }

    [Fact]
    public void A_caller_that_is_always_late_learns_of_a_failure_all_the_same()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var heard = _now;

        for (var at = heard; at < heard + TimeSpan.FromSeconds(1) && _session.State == BfdState.Up; at += Fast * 2)
            _session.Advance(_now = at, at);

        Assert.Equal(BfdState.Down, _session.State);
        Assert.True(_now - heard <= Fast * 9);
    }

    [Fact]
    public void Until_up_there_is_at_most_one_packet_a_second()
    {
        Assert.Equal((TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)), (_session.DesiredMinTx, _session.TransmitInterval));
        Assert.Equal(BfdWork.Send, AdvanceTo(_now));
        var first = _now;

        Assert.Equal(BfdWork.None, AdvanceTo(first + TimeSpan.FromMilliseconds(749)));
        Assert.Equal(BfdWork.Send, AdvanceTo(first + TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void When_up_the_configured_interval_is_announced_by_a_poll_and_used_at_once_because_it_is_shorter()
    {
        Bring(BfdState.Up);

        Assert.True(_session.Compose() is { Poll: true, Final: false } polled && polled.DesiredMinTx == Fast);
        Assert.Equal(Fast, _session.TransmitInterval);
    }

    [Fact]
    public void When_down_again_a_second_is_announced_and_used_at_once()
    {
        Settle();

        Hear(BfdState.Down);

        Assert.Equal((TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)), (_session.Compose().DesiredMinTx, _session.TransmitInterval));
    }

    [Fact]
    public void A_longer_interval_is_used_only_after_the_final()
    {
        Settle();

        _session.Change(new BfdParameters { Interval = Fast * 4 }, _now);
        Assert.True(_session.Compose() is { Poll: true } polled && polled.DesiredMinTx == Fast * 4);
        Assert.Equal(Fast, _session.TransmitInterval);
        Hear(BfdState.Up);
        Assert.Equal(Fast, _session.TransmitInterval);

        Hear(Packet(BfdState.Up) with { Final = true });
        Assert.Equal(Fast * 4, _session.TransmitInterval);
        Assert.False(_session.Compose().Poll);
    }

    [Fact]
    public void A_shorter_required_interval_counts_for_detection_only_after_the_final()
    {
        Settle();

        _session.Change(new BfdParameters { Interval = Fast / 5 }, _now);
        Hear(Packet(BfdState.Up) with { DesiredMinTx = Fast / 5 });
        Assert.Equal((Fast / 5, Fast * 3), (_session.RequiredMinRx, _session.DetectionTime));

        Hear(Packet(BfdState.Up) with { DesiredMinTx = Fast / 5, Final = true });
        Assert.Equal(Fast / 5 * 3, _session.DetectionTime);
    }

    [Fact]
    public void A_second_change_waits_for_a_packet_without_final_after_the_first_poll()
    {
        Settle();
        _session.Change(new BfdParameters { Interval = Fast * 2 }, _now);

        _session.Change(new BfdParameters { Interval = Fast * 4 }, _now);
        Assert.Equal(Fast * 2, _session.DesiredMinTx);
        Hear(Packet(BfdState.Up) with { Final = true });
        Hear(Packet(BfdState.Up) with { Final = true });
        Assert.True(!_session.Compose().Poll && _session.DesiredMinTx == Fast * 2);

        Hear(BfdState.Up);
        Assert.True(_session.Compose().Poll && _session.DesiredMinTx == Fast * 4);
        Assert.Equal(Fast * 2, _session.TransmitInterval);
    }

    [Fact]
    public void A_neighbour_that_wants_fewer_packets_gets_fewer_at_once()
    {
        Settle();

        Hear(Packet(BfdState.Up) with { RequiredMinRx = Fast * 10, Poll = true });

        Assert.Equal(Fast * 10, _session.TransmitInterval);
    }

    [Fact]
    public void A_neighbour_that_takes_more_packets_gets_the_next_within_the_new_interval()
    {
        Settle();
        Hear(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.FromSeconds(10) });
        AdvanceTo(_now + TimeSpan.FromMilliseconds(100));

        Hear(Packet(BfdState.Up) with { RequiredMinRx = Fast });

        Assert.InRange(_session.NextSend, _now, _now + Fast);
    }

    [Fact]
    public void A_neighbour_that_wants_no_packets_gets_none_but_an_answer()
    {
        Settle();

        Hear(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.Zero });
        Assert.Equal(TimeSpan.MaxValue, _session.NextSend);

        _session.Receive(Packet(BfdState.Up) with { RequiredMinRx = TimeSpan.Zero, Poll = true }, _now, out var work);
        Assert.Equal(BfdWork.Final, work);
    }

    [Fact]
    public void A_neighbour_in_demand_mode_gets_no_periodic_packets_but_polls()
    {
        Settle();
        Hear(Packet(BfdState.Up) with { Demand = true });
        Assert.Equal(TimeSpan.MaxValue, _session.NextSend);

        _session.Change(new BfdParameters { Interval = Fast * 2 }, _now);

        Assert.True(_session.NextSend < TimeSpan.MaxValue && _session.Compose().Poll);
    }

    [Fact]
    public void We_offer_neither_demand_mode_nor_echo()
    {
        Settle();

        Assert.True(_session.Compose() is { Demand: false, HasAuthentication: false } packet && packet.RequiredMinEchoRx == TimeSpan.Zero);
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

    [Fact]
    public void A_passive_session_says_nothing_before_it_hears_the_neighbour()
    {
        var session = Session(new BfdParameters { Role = BfdRole.Passive });
        Assert.Equal(TimeSpan.MaxValue, session.Deadline);
        Assert.Equal(BfdWork.None, session.Advance(TimeSpan.FromSeconds(5)));

        session.Receive(Packet(BfdState.Down), TimeSpan.FromSeconds(6), out var work);

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, work);
        Assert.Equal(BfdState.Init, session.State);
    }

    [Fact]
    public void A_passive_session_that_lost_the_neighbour_is_silent_again()
    {
        var session = Session(new BfdParameters { Role = BfdRole.Passive });
        session.Receive(Packet(BfdState.Init), _now, out _);

        Assert.Equal(BfdWork.StateChanged, session.Advance(TimeSpan.FromSeconds(5)));

        Assert.Equal(TimeSpan.MaxValue, session.Deadline);
    }

    [Fact]
    public void Switching_off_is_told_at_once_and_goes_on_being_told()
    {
        Settle();

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, _session.Disable(_now));

        Assert.Equal((BfdState.AdminDown, BfdDiagnostic.AdministrativelyDown), (_session.Compose().State, _session.Compose().Diagnostic));
        Assert.Equal(BfdWork.Send, AdvanceTo(_now + TimeSpan.FromSeconds(1)));
        Assert.Equal(BfdState.AdminDown, _session.State);
    }

    [Fact]
    public void Switched_on_again_it_starts_as_new()
    {
        Settle();
        _session.Disable(_now);

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, _session.Enable(_now));

        Assert.Equal((BfdState.Down, 0u), (_session.State, _session.RemoteDiscriminator));
    }

    [Fact]
    public void Ups_and_downs_are_counted()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Down);
        Hear(BfdState.Init);
        _session.Disable(_now);

        Assert.Equal((2L, 2L), (_session.Ups, _session.Downs));
    }

    [Fact]
    public void A_session_makes_no_object()
    {
        Settle();
        var packet = Packet(BfdState.Up);
        var octets = new byte[BfdPacket.Length];
        Round(10);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Round(10_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Round(int times)
        {
            for (var i = 0; i < times; i++)
            {
                packet.Encode(octets);
                BfdPacket.TryDecode(octets, out var decoded);
                _session.Receive(decoded with { Poll = i % 10 == 0, State = i % 50 == 0 ? BfdState.Down : BfdState.Up }, _now += Fast, out _);
                _session.Advance(_now);
                _session.Compose().Encode(octets);
                _session.ComposeFinal().Encode(octets);
            }
        }
    }

    private static BfdSession Session(BfdParameters parameters) => new(Ours, parameters, new Random(1), TimeSpan.Zero);

    private static BfdPacket Packet(BfdState state) => new()
    {
        State = state,
        DetectMult = 3,
        MyDiscriminator = Theirs,
        YourDiscriminator = Ours,
        DesiredMinTx = Fast,
        RequiredMinRx = Fast,
    };

    private void Bring(BfdState state)
    {
        if (state == BfdState.Init)
            Hear(BfdState.Down);
        else if (state == BfdState.Up)
            Hear(BfdState.Init);
        Assert.Equal(state, _session.State);
    }

    // Up, with nothing under way.
    private void Settle()
    {
        Bring(BfdState.Up);
        Hear(Packet(BfdState.Up) with { Final = true });
        Hear(BfdState.Up);
        Assert.True(_session.IsSteady);
    }

    private BfdWork Hear(BfdState state) => Hear(Packet(state));

    private BfdWork Hear(BfdPacket packet)
    {
        Assert.Equal(BfdDiscard.None, _session.Receive(packet, _now, out var work));
        return work;
    }

    private BfdWork AdvanceTo(TimeSpan now) => _session.Advance(_now = now);
}
