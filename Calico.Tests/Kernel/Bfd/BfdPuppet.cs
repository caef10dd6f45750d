using System.Net;
using System.Net.Sockets;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Tests.Kernel.Bfd;

/// <summary>A neighbour that says that it is up every 20 ms for as long as the test wants, whatever it hears.</summary>
internal sealed class BfdPuppet : IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly uint _discriminator;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _speaking;
    private volatile bool _silent;

    public BfdPuppet(BfdBed bed, uint discriminatorOfOurs)
    {
        _socket = bed.Neighbouring(BfdBed.Neighbour, 50_000);
        _discriminator = discriminatorOfOurs;
        _speaking = SpeakAsync();
    }

    public bool Silent
    {
        get => _silent;
        set => _silent = value;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _speaking;
        _socket.Dispose();
        _stop.Dispose();
    }

    private async Task SpeakAsync()
    {
        var octets = new byte[BfdPacket.Length];
        var to = new IPEndPoint(BfdBed.Local.ToIPAddress(), BfdEndpoint.SingleHopPort);
        for (var count = 0; !_stop.IsCancellationRequested; count++)
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
                await _socket.SendToAsync(octets, to);
            await Task.Delay(20);
        }
    }
}
