using Calico.Core.Bfd;

namespace Calico.Tests.Core.Bfd;

/// <summary>The states of a session: what it makes of what it hears, and of silence.</summary>
[Layer("unit")]
public class BfdSessionTests : BfdSessionFixture
{
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
    public void What_the_neighbour_says_moves_theSubject(BfdState from, BfdState heard, BfdState to, BfdDiagnostic diagnostic)
    {
        Bring(from);

        var work = Hear(heard);

        Assert.Equal((to, diagnostic), (Subject.State, Subject.Diagnostic));
        Assert.Equal(from != to, work.HasFlag(BfdWork.StateChanged));
        Assert.Equal(from != to, work.HasFlag(BfdWork.Send));
    }

    [Fact]
    public void A_packet_with_authentication_does_not_count_as_we_have_no_keys()
    {
        Bring(BfdState.Up);
        var silentAt = Subject.Deadline;

        Assert.Equal(BfdDiscard.Authentication,
            Subject.Receive(Packet(BfdState.Down) with { HasAuthentication = true }, Now + Fast, out var work));

        Assert.Equal((BfdState.Up, BfdWork.None, silentAt), (Subject.State, work, Subject.Deadline));
    }

    [Fact]
    public void While_switched_off_packets_do_not_count_and_polls_are_not_answered()
    {
        Subject.Disable(Now);

        Assert.Equal(BfdDiscard.AdminDown, Subject.Receive(Packet(BfdState.Down) with { Poll = true }, Now, out var work));

        Assert.Equal((BfdState.AdminDown, BfdWork.None), (Subject.State, work));
    }

    [Fact]
    public void A_poll_is_answered_at_once_with_final_and_without_poll()
    {
        Bring(BfdState.Up);

        Subject.Receive(Packet(BfdState.Up) with { Poll = true }, Now, out var work);

        Assert.Equal(BfdWork.Final, work);
        var answer = Subject.ComposeFinal();
        Assert.Equal((true, false, Theirs, BfdState.Up), (answer.Final, answer.Poll, answer.YourDiscriminator, answer.State));
    }

    [Fact]
    public void A_poll_that_changes_the_state_is_answered_by_one_packet()
    {
        Subject.Receive(Packet(BfdState.Init) with { Poll = true }, Now, out var work);

        Assert.Equal(BfdWork.Final | BfdWork.StateChanged, work);
        Assert.Equal(BfdState.Up, Subject.ComposeFinal().State);
    }

    [Fact]
    public void Silence_for_the_detection_time_is_a_failure_and_not_sooner()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var heard = Now;
        Assert.Equal(Fast * 3, Subject.DetectionTime);

        AdvanceTo(heard + (Fast * 3) - TimeSpan.FromMicroseconds(1));
        Assert.Equal(BfdState.Up, Subject.State);

        var work = AdvanceTo(heard + (Fast * 3));
        Assert.Equal((BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired), (Subject.State, Subject.Diagnostic));
        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, work);
        Assert.Equal(0u, Subject.Compose().YourDiscriminator);
    }

    [Fact]
    public void The_detection_time_is_the_neighbours_multiplier_of_the_slower_end()
    {
        Bring(BfdState.Up);

        Hear(Packet(BfdState.Up) with { DetectMult = 5, DesiredMinTx = TimeSpan.FromMilliseconds(80) });
        Assert.Equal(TimeSpan.FromMilliseconds(400), Subject.DetectionTime);

        Hear(Packet(BfdState.Up) with { DetectMult = 5, DesiredMinTx = TimeSpan.FromMilliseconds(20) });
        Assert.Equal(TimeSpan.FromMilliseconds(250), Subject.DetectionTime);
    }

    [Fact]
    public void A_neighbour_that_is_silent_while_down_is_forgotten()
    {
        Hear(BfdState.Up);
        Assert.Equal(Theirs, Subject.RemoteDiscriminator);

        AdvanceTo(Now + (Fast * 3));

        Assert.Equal((BfdState.Down, 0u), (Subject.State, Subject.RemoteDiscriminator));
    }

    [Fact]
    public void What_a_late_caller_could_not_read_is_not_the_neighbours_silence()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var back = Now + TimeSpan.FromSeconds(1);

        Subject.Advance(back, back);
        Assert.Equal(BfdState.Up, Subject.State);

        Subject.Advance(back + (Fast * 3), back);
        Assert.Equal(BfdState.Down, Subject.State);
    }

    [Fact]
    public void A_caller_that_is_always_late_learns_of_a_failure_all_the_same()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Up);
        var heard = Now;

        for (var at = heard; at < heard + TimeSpan.FromSeconds(1) && Subject.State == BfdState.Up; at += Fast * 2)
            Subject.Advance(Now = at, at);

        Assert.Equal(BfdState.Down, Subject.State);
        Assert.True(Now - heard <= Fast * 9);
    }

    [Fact]
    public void A_passiveSubject_says_nothing_before_it_hears_the_neighbour()
    {
        var session = Session(new BfdParameters { Role = BfdRole.Passive });
        Assert.Equal(TimeSpan.MaxValue, session.Deadline);
        Assert.Equal(BfdWork.None, session.Advance(TimeSpan.FromSeconds(5)));

        session.Receive(Packet(BfdState.Down), TimeSpan.FromSeconds(6), out var work);

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, work);
        Assert.Equal(BfdState.Init, session.State);
    }

    [Fact]
    public void A_passiveSubject_that_lost_the_neighbour_is_silent_again()
    {
        var session = Session(new BfdParameters { Role = BfdRole.Passive });
        session.Receive(Packet(BfdState.Init), Now, out _);

        Assert.Equal(BfdWork.StateChanged, session.Advance(TimeSpan.FromSeconds(5)));

        Assert.Equal(TimeSpan.MaxValue, session.Deadline);
    }

    [Fact]
    public void Switching_off_is_told_at_once_and_goes_on_being_told()
    {
        Settle();

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, Subject.Disable(Now));

        Assert.Equal((BfdState.AdminDown, BfdDiagnostic.AdministrativelyDown), (Subject.Compose().State, Subject.Compose().Diagnostic));
        Assert.Equal(BfdWork.Send, AdvanceTo(Now + TimeSpan.FromSeconds(1)));
        Assert.Equal(BfdState.AdminDown, Subject.State);
    }

    [Fact]
    public void Switched_on_again_it_starts_as_new()
    {
        Settle();
        Subject.Disable(Now);

        Assert.Equal(BfdWork.Send | BfdWork.StateChanged, Subject.Enable(Now));

        Assert.Equal((BfdState.Down, 0u), (Subject.State, Subject.RemoteDiscriminator));
    }

    [Fact]
    public void Ups_and_downs_are_counted()
    {
        Bring(BfdState.Up);
        Hear(BfdState.Down);
        Hear(BfdState.Init);
        Subject.Disable(Now);

        Assert.Equal((2L, 2L), (Subject.Ups, Subject.Downs));
    }

    [Fact]
    public void ASubject_makes_no_object()
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
                Subject.Receive(decoded with { Poll = i % 10 == 0, State = i % 50 == 0 ? BfdState.Down : BfdState.Up }, Now += Fast, out _);
                Subject.Advance(Now);
                Subject.Compose().Encode(octets);
                Subject.ComposeFinal().Encode(octets);
            }
        }
    }
}
