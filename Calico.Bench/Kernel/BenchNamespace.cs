using System.Globalization;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Kernel;

/// <summary>A namespace of our own with a running veth pair, <c>left</c> with 10.0.0.1/24; gone when disposed.</summary>
internal sealed class BenchNamespace : IDisposable
{
    public BenchNamespace()
    {
        Space = NetworkNamespace.CreateUnnamed();
        using var links = Space.OpenLinks();
        Left = links.CreateVeth(new VethPair("left", "right", -1), up: true).Index;
        links.Change(new LinkChange(links.Find("right")!.Index) { Up = true });
        links.AddAddress(new LinkAddress(Left, Cidr.Parse("10.0.0.1/24")));
    }

    public NetworkNamespace Space { get; }
    public int Left { get; }

    public void Dispose() => Space.Dispose();

    public static int Count(string[] args, int otherwise) =>
        args is [var text, ..] ? int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture) : otherwise;
}
