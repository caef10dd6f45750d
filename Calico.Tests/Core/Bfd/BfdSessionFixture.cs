using Calico.Core.Bfd;

namespace Calico.Tests.Core.Bfd;

/// <summary>One session, and packets of a neighbour that the test writes.</summary>
public abstract class BfdSessionFixture
{
    protected const uint Ours = 7;
    protected const uint Theirs = 9;

    protected static readonly TimeSpan Fast = TimeSpan.FromMilliseconds(50);

    protected BfdSession Subject { get; } = Session(new BfdParameters { Interval = Fast });

    protected TimeSpan Now { get; set; }

    protected static BfdSession Session(BfdParameters parameters) => new(Ours, parameters, new Random(1), TimeSpan.Zero);

    protected static BfdPacket Packet(BfdState state) => new()
    {
        State = state,
        DetectMult = 3,
        MyDiscriminator = Theirs,
        YourDiscriminator = Ours,
        DesiredMinTx = Fast,
        RequiredMinRx = Fast,
    };

    protected void Bring(BfdState state)
    {
        if (state == BfdState.Init)
            Hear(BfdState.Down);
        else if (state == BfdState.Up)
            Hear(BfdState.Init);
        Assert.Equal(state, Subject.State);
    }

    // Up, with nothing under way.
    protected void Settle()
    {
        Bring(BfdState.Up);
        Hear(Packet(BfdState.Up) with { Final = true });
        Hear(BfdState.Up);
        Assert.True(Subject.IsPacing && !Subject.Compose().Poll);
    }

    protected BfdWork Hear(BfdState state) => Hear(Packet(state));

    protected BfdWork Hear(BfdPacket packet)
    {
        Assert.Equal(BfdDiscard.None, Subject.Receive(packet, Now, out var work));
        return work;
    }

    protected BfdWork AdvanceTo(TimeSpan now) => Subject.Advance(Now = now);
}
