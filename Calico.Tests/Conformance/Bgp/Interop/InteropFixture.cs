using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Our speaker, a foreign one and BIRDs that feed them, for one test.</summary>
public abstract class InteropFixture : IAsyncLifetime
{
    private protected const string TheirRoute = "10.9.0.0/24", TheirRoute6 = "fd00:9::/48";

    private protected InteropBed Bed { get; } = new();
    private protected ForeignSpeaker? Foreign { get; private set; }

    private protected static ForeignConfig External { get; } = new() { As = InteropBed.TheirAs, OurAs = InteropBed.OurAs, Routes = [TheirRoute, TheirRoute6] };

    /// <summary>In our AS.</summary>
    private protected static ForeignConfig Internal { get; } = External with { As = InteropBed.OurAs };

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (Foreign is not null)
            await Foreign.DisposeAsync();
        await Bed.DisposeAsync();
    }

    private protected async Task StartAsync(string speaker, ForeignConfig theirs, OurConfig? ours = null)
    {
        Foreign = ForeignSpeaker.Of(speaker, Bed);
        Skip.IfNot(File.Exists(Foreign.Program), $"{Foreign.Program} is not installed");
        await Bed.PrepareAsync();
        await Foreign.StartAsync(theirs);
        await Bed.StartAsync(ours ?? new OurConfig { TheirAs = theirs.As, Password = theirs.Password });
    }

    private protected Task ShowsAsync(ForeignRoute expected) => ShowsAsync(expected, () => Foreign!.FindAsync(expected.Prefix));

    private protected Task ShowsAsync(ForeignRoute expected, Func<Task<ForeignRoute?>> found) =>
        InteropBed.UntilAsync(async () => (await found())?.IsLike(expected) == true, async () => $"it shows {expected}, but {await found()}\n{await SaidAsync()}");

    private protected Task UntilAsync(Func<Task<bool>> condition, string what) =>
        InteropBed.UntilAsync(condition, async () => $"{what}\n{await SaidAsync()}");

    private protected static string One(JsonElement route, string list) => string.Join(' ', route.GetProperty(list).EnumerateArray().Select(c => c.GetString()));

    private async Task<string> SaidAsync() => $"{await Bed.PeersAsync()}\n{Bed.Log}\n{Foreign?.Log}";
}
