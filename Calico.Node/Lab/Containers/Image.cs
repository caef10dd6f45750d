using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab.Containers;

/// <summary>
/// The one image of the lab: the distribution's static busybox and a page for its web server, packed by umoci. Nothing is
/// downloaded.
/// </summary>
internal static class Image
{
    public const string Name = "lab.invalid/busybox";
    public const string Tag = "lab";
    public const string Page = "here-i-am";

    /// <summary>The busybox applet that prints the page of a container's server. Its wget wants more of the C library than a static one has.</summary>
    public static string[] Ask(string address) => ["sh", "-c", $"echo 'GET / HTTP/1.0' | /bin/busybox nc -w 2 {address} 80"];

    // A root of its own: umoci keeps the bundle's description beside it.
    private const string Build = """
        set -e
        if ldd "$(command -v busybox)" >/dev/null 2>&1; then echo "busybox is not the static one: apt-get install busybox-static"; exit 1; fi
        cd "$1"
        umoci init --layout layout
        umoci new --image layout:lab
        umoci unpack --image layout:lab bundle
        mkdir -p bundle/rootfs/bin bundle/rootfs/tmp bundle/rootfs/proc bundle/rootfs/sys bundle/rootfs/dev bundle/rootfs/etc bundle/rootfs/www
        cp "$(command -v busybox)" bundle/rootfs/bin/busybox
        echo "$2" >bundle/rootfs/www/index.html
        umoci repack --image layout:lab bundle
        tar -C layout -cf image.tar .
        """;

    /// <summary>Makes the image as an archive of OCI's layout, and returns the archive's path.</summary>
    public static async Task<string> BuildAsync(Lab lab)
    {
        var archive = Path.Combine(lab.Place.Folder, "image", "image.tar");
        if (File.Exists(archive))
            return archive;
        Programs.Find("umoci", "umoci");
        Programs.Find("busybox", "busybox-static");
        var folder = Path.GetDirectoryName(archive)!;
        Directory.CreateDirectory(folder);
        using var own = NetworkNamespace.OpenCurrent();
        var (exit, output, errors) = await Processes.RunAsync(own, new Dictionary<string, string?>(), null, ["/bin/sh", "-c", Build, "sh", folder, Page]);
        return exit == 0 ? archive : throw new LabException($"the image cannot be made: {output}{errors}".Trim());
    }
}
