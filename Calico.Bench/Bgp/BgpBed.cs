using System.Diagnostics;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Bgp;

/// <summary>
/// Two namespaces with a link between them: in one the measured speaker, in the other all of its neighbours, each with an address and an
/// AS of its own.
/// </summary>
internal sealed class BgpBed : IDisposable
{
    public const int PrefixLength = 20;
    private const string GeneratorSpace = "calico-bench-gen";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly NetworkNamespace _speaker;
    private readonly NetworkNamespace _generator;

    public BgpBed(int neighbours)
    {
        Clear();
        _speaker = NetworkNamespace.CreateNamed(BgpContender.Space);
        _generator = NetworkNamespace.CreateNamed(GeneratorSpace);
        using var ours = _speaker.OpenLinks();
        using var theirs = _generator.OpenLinks();
        var left = ours.CreateVeth(new VethPair("dut", "gen", _generator.Fd), up: true).Index;
        var right = theirs.Find("gen")!.Index;
        theirs.Change(new LinkChange(right) { Up = true });
        ours.AddAddress(new LinkAddress(left, new Cidr(Speaker, PrefixLength)));
        for (var i = 0; i < neighbours; i++)
            theirs.AddAddress(new LinkAddress(right, new Cidr(Neighbour(i), PrefixLength)));
    }

    public static IpAddr Speaker { get; } = IpAddr.Parse("198.18.15.254");

    /// <summary>Neighbours count from 0.</summary>
    public static IpAddr Neighbour(int number) => IpAddr.FromV4((198u << 24) + (18u << 16) + 1 + (uint)number);

    public static uint AsOf(int number) => 65001 + (uint)number;

    /// <summary>Returns with an established session.</summary>
    public Task<BgpClient> ConnectAsync(int number) => BgpClient.ConnectAsync(_generator, Neighbour(number), AsOf(number), Speaker);

    /// <summary>Seconds since then until it is done; fails with the state that is told if that takes minutes.</summary>
    public static async Task<double> AwaitAsync(long begun, Func<bool> done, Func<string> state)
    {
        while (!done())
        {
            if (Stopwatch.GetElapsedTime(begun) > Patience)
                throw new IOException($"not done after {Patience.TotalMinutes:0} min: {state()}");
            await Task.Delay(2);
        }
        return Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }

    public void Dispose()
    {
        _speaker.Dispose();
        _generator.Dispose();
        Clear();
    }

    // What a run that was interrupted left, too.
    private static void Clear()
    {
        NetworkNamespace.DeleteNamed(BgpContender.Space);
        NetworkNamespace.DeleteNamed(GeneratorSpace);
    }
}
