using System.Net;
using System.Net.Sockets;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Tests.Kernel.Bfd;

/// <summary>
/// A neighbour that says that it is up every 20 ms for as long as the test wants, whatever it hears. On a thread of its own: the pool
/// may be busy with other tests.
/// </summary>
internal sealed class BfdPuppet : IDisposable
{
    private readonly Socket _socket;
    private readonly uint _discriminator;
    private readonly ManualResetEventSlim _stop = new();
    private readonly Thread _speaking;
    private volatile bool _silent;

    public BfdPuppet(BfdBed bed, uint discriminatorOfOurs)
    {
        _socket = bed.Neighbouring(BfdBed.Neighbour, 50_000);
        _discriminator = discriminatorOfOurs;
        _speaking = new Thread(Speak) { IsBackground = true };
        _speaking.Start();
    }

    public bool Silent
    {
        get => _silent;
        set => _silent = value;
    }

    public void Dispose()
    {
        _stop.Set();
        _speaking.Join();
        _socket.Dispose();
        _stop.Dispose();
    }

    private void Speak()
    {
        var octets = new byte[BfdPacket.Length];
        var to = new IPEndPoint(BfdBed.Local.ToIPAddress(), BfdEndpoint.SingleHopPort);
        for (var count = 0; !_stop.Wait(20); count++)
        {
            var packet = new BfdPacket
            {
                State = count < 3 ? BfdState.Init : BfdState.Up,
                DetectMult = 3,
                Final = count % 2 == 1,
                MyDiscriminator = 99,
                YourDiscriminator = _discriminator,
                DesiredMinTx = TimeSpan.FromMilliseconds(20),
                RequiredMinRx = TimeSpan.FromMilliseconds(20),
            };
            packet.Encode(octets);
            if (!_silent)
                _socket.SendTo(octets, to);
        }
    }
}
